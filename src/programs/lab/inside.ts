import { createInterface } from 'node:readline'
import { UsageError } from '../../errors.ts'
import { carryOut, isPrivateNode, type Job } from '../../lab/inside.ts'
import { AddonLoader } from '../../os/addons.ts'
import { Libc } from '../../os/libc.ts'

/** The lab's own process on a private node: takes its job from standard input and lives no longer than that is open. */
export async function inside(): Promise<number> {
  if (!isPrivateNode()) throw new UsageError('dummy-fuse-csi lab inside is for the lab itself, on a node that it has made')
  const input = createInterface(process.stdin)
  const abandoned = new Promise<number>((resolve) => {
    process.stdout.on('error', () => resolve(1))
    input.on('close', () => resolve(1))
  })
  const carriedOut = new Promise<Job>((taken) => {
    input.once('line', (line) => taken(JSON.parse(line) as Job))
  }).then(async (job) => {
    await carryOut(job, new Libc(new AddonLoader()), (message) => process.stdout.write(`${JSON.stringify(message)}\n`))
    return 0
  })
  return await Promise.race([abandoned, carriedOut])
}
