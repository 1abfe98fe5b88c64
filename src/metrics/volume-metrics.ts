import type { Registry } from 'prom-client'
import { addGauge } from './gauge.ts'

/** What {@link addVolumeMetrics} reads at each scrape. Nothing of it accesses a mount. */
export interface VolumeCounts {
  /** Staged volumes of the mount cache. */
  readonly staged: () => number
  /** Published targets of the mount cache. */
  readonly published: () => number
  /** Volumes that are still being mounted again after the start. */
  readonly restoring: () => number
  /** Why the kubelet does not use the plugin; undefined if it may. */
  readonly unavailableReason: () => string | undefined
}

/** Registers the numbers of volumes and targets, and whether the kubelet may use the plugin. */
export function addVolumeMetrics(registry: Registry, { staged, published, restoring, unavailableReason }: VolumeCounts): void {
  addGauge(registry, 'dummy_fuse_csi_staged_volumes', 'Volumes that are staged on this node.', staged)
  addGauge(registry, 'dummy_fuse_csi_published_targets', 'Targets that are published on this node.', published)
  addGauge(
    registry,
    'dummy_fuse_csi_restoring_volumes',
    'Volumes that are still being mounted again after the start of the plugin.',
    restoring,
  )
  addGauge(registry, 'dummy_fuse_csi_ready', '1 if Probe answers that the plugin is ready, 0 if not.', () =>
    unavailableReason() === undefined ? 1 : 0,
  )
}
