import { Checks } from './checks.ts'
import { startClock } from './clock.ts'
import type { Programs } from './command.ts'
import { ContainerRuntime } from './container-runtime.ts'
import { DaemonSet } from './daemon-set.ts'
import { Kubelet } from './kubelet.ts'
import { SOCKET } from './node-paths.ts'
import { Pod } from './pod.ts'
import { ProcessLog } from './process-log.ts'
import type { Message } from './message.ts'
import type { ScenarioHarness } from './scenario.ts'
import { Shell } from './shell.ts'
import { Transcript } from './transcript.ts'

/** Sets a bench up on the private node that this process is on. All that is seen is told to `tell` as it happens. */
export function setUpHarness(programs: Programs, tell: (message: Message) => void): ScenarioHarness {
  const clock = startClock()
  const transcript = new Transcript(clock, (step) => {
    tell({ kind: 'step', step })
  })
  const newLog = (name: string): ProcessLog =>
    new ProcessLog(name, clock, (process, line) => {
      tell({ kind: 'line', process, line })
    })
  return {
    clock,
    transcript,
    checks: new Checks((check) => {
      tell({ kind: 'check', check })
    }),
    shell: new Shell(transcript),
    daemonSet: new DaemonSet(() => programs.plugin, newLog),
    kubelet: new Kubelet(SOCKET),
    runtime: new ContainerRuntime(programs.workload),
    newPod: (spec) => new Pod(spec, newLog(spec.name)),
  }
}
