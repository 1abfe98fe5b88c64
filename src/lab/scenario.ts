import type { ContainerPlugin } from './cell/container-plugin.ts'
import type { PrivateHarness } from './cell/private-harness.ts'
import { workload } from './cell/reader-programs.ts'
import { NodeDisk } from './cell/node-disk.ts'
import { setUpContainerCell, type Subject } from './cell/set-up.ts'
import { Timeline } from './cell/timeline.ts'
import { Checks } from './checks.ts'
import { startClock } from './clock.ts'
import type { Programs } from './command.ts'
import { Kubelet } from './kubelet.ts'
import type { Message } from './message.ts'
import { SOCKET } from './node-paths.ts'
import { Shell } from './shell.ts'
import { Transcript } from './transcript.ts'

/** Shows what happens on a node: sentences, commands with their output, logs, and checks. */
export interface Narrator {
  readonly transcript: Transcript
  readonly checks: Checks
  readonly shell: Shell
}

/** A cell of a scenario, whose plugin runs in a container. */
export type ScenarioCell = PrivateHarness<ContainerPlugin>

/** The private node of a scenario, and its narrator. */
export interface ScenarioNode extends Narrator {
  /** Puts a cell together, in which nothing runs yet. The cells of one node come one after the other. */
  readonly setUp: (subject: Subject) => ScenarioCell
}

/** One behaviour, shown on a private node. */
export interface Scenario {
  readonly name: string
  /** One line of what is done and what must come of it. */
  readonly summary: string
  /** Carries it out. An error breaks the scenario off: then nothing is known. */
  readonly run: (node: ScenarioNode) => Promise<void>
}

/** The private node that this process is on. All that is seen goes to `tell` as it happens. */
export function scenarioNode(programs: Programs, tell: (message: Message) => void): ScenarioNode {
  const clock = startClock()
  const timeline = new Timeline(clock, (process, line) => {
    tell({ kind: 'line', process, line })
  })
  const transcript = new Transcript(clock, (step) => {
    tell({ kind: 'step', step })
  })
  const checks = new Checks((check) => {
    tell({ kind: 'check', check })
  })
  const disk = new NodeDisk(undefined)
  const parts = { programs, clock, timeline, disk, kubelet: new Kubelet(SOCKET), reader: workload(programs.workload) }
  return { transcript, checks, shell: new Shell(transcript), setUp: (subject) => setUpContainerCell(subject, parts) }
}
