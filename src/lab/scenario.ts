import type { Checks } from './checks.ts'
import type { Clock } from './clock.ts'
import type { ContainerRuntime } from './container-runtime.ts'
import type { DaemonSet } from './daemon-set.ts'
import type { Kubelet } from './kubelet.ts'
import type { Pod, PodSpec } from './pod.ts'
import type { Shell } from './shell.ts'
import type { Transcript } from './transcript.ts'

/** A private node, empty but for what a scenario puts on it, and the means to show what happens there. */
export interface ScenarioHarness {
  readonly clock: Clock
  readonly transcript: Transcript
  readonly checks: Checks
  readonly shell: Shell
  readonly daemonSet: DaemonSet
  readonly kubelet: Kubelet
  readonly runtime: ContainerRuntime
  /** A pod that the node has heard of, without a container yet. */
  readonly newPod: (spec: PodSpec) => Pod
}

/** One behaviour, made to happen on a private node. */
export interface Scenario {
  readonly name: string
  /** One line of what is done and what must come of it. */
  readonly summary: string
  /** Carries it out. What it throws breaks it off: nothing is known then. */
  readonly run: (bench: ScenarioHarness) => Promise<void>
}
