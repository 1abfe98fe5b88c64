import { readFileSync } from 'node:fs'
import { run } from '../../os/processes/run.ts'
import { FUSED_LIMITS } from './limits.ts'

/**
 * Whether the unit that this process belongs to is being stopped for good: restart and stop are both SIGTERM. Where that cannot be learnt
 * it is not, so that nothing is lost that a successor could go on with.
 */
export async function isStopped(): Promise<boolean> {
  const unit = ownUnit()
  if (unit === undefined) return false
  const result = await run('systemctl', ['list-jobs', '--no-legend', '--plain', unit], FUSED_LIMITS.jobs).catch(() => undefined)
  if (result?.kind !== 'exited') return false
  // JOB UNIT TYPE STATE
  return result.stdout.split('\n').some((line) => {
    const [, of, type] = line.trim().split(/\s+/)
    return of === unit && type === 'stop'
  })
}

/**
 * How many descriptors systemd stores for the unit that this process belongs to, which it tells its processes itself since 254. Undefined where that cannot be
 * learnt.
 */
export async function storeMax(): Promise<number | undefined> {
  const unit = ownUnit()
  if (unit === undefined) return undefined
  const show = ['show', '--property=FileDescriptorStoreMax', '--value', unit]
  const result = await run('systemctl', show, FUSED_LIMITS.jobs).catch(() => undefined)
  return result?.kind === 'exited' && /^\d+\n$/.test(result.stdout) ? Number(result.stdout) : undefined
}

/** The last part of a service's cgroup is its unit's name. */
function ownUnit(): string | undefined {
  const [, path = ''] = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8')) ?? []
  return path.split('/').findLast((part) => part.endsWith('.service'))
}
