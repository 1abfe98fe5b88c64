import { UsageError } from '../../errors.ts'
import { commandLine, parse } from '../command-line.ts'
import type { Program } from '../program.ts'
import { driverCommand } from './driver.ts'
import { inside } from './inside.ts'
import { list } from './list.ts'
import { mountCommand } from './mount.ts'
import { report } from './report.ts'
import { run } from './run.ts'

const NAME = 'dummy-fuse-csi lab'

/** dummy-fuse-csi lab: every failure against every mitigation, and the named scenarios. */
export const lab: Program = async (context) => {
  const [word = '', ...args] = context.args
  switch (word) {
    case 'list':
      return list(args)
    case 'run':
      return await run(context, args)
    case 'mount':
      return await mountCommand(context, args)
    case 'driver':
      return await driverCommand(context, args)
    case 'report':
      return await report(args)
    case 'inside':
      return await inside()
    default:
      if (word.startsWith('-')) parse(overview(), context.args)
      throw new UsageError(
        `${word === '' ? 'no command given' : `no command '${word}'`}; there are list, run, report, mount, driver (see ${NAME} --help)`,
      )
  }
}

function overview(): ReturnType<typeof commandLine> {
  return commandLine(NAME, 'Makes the failures of FUSE mounts under CSI happen, each on a private node.')
    .usage('list | run [SCENARIO...] | report --compare A.json B.json | mount -- COMMAND... | driver check FILE')
    .addHelpText(
      'after',
      `\nCommands:\n  list    lists scenarios, failures, mitigations and consumers, also those of a driver of your own\n  run     runs all of them, or those that are named (see ${NAME} run --help)\n  report  compares two runs (see ${NAME} report --help)\n  mount   tests a mount command (see ${NAME} mount --help)\n  driver  tries a driver and its file, or writes a first file (see ${NAME} driver --help)`,
    )
}
