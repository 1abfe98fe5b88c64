import { test } from 'node:test'
import { FullNotifySocket } from '../support/full-notify-socket.ts'
import { FusedProcess } from '../support/fused.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

void test('STATUS of dummy-fused says how many sessions it serves now', async () => {
  await using sandbox = new Sandbox()
  using notify = new FullNotifySocket(sandbox.path)
  notify.read()
  const fused = await FusedProcess.start(sandbox, { by: ['env', `NOTIFY_SOCKET=${notify.path}`] })
  const says = async (count: number): Promise<void> => {
    const statuses = (): readonly string[] => notify.messages.flatMap((text) => /^STATUS=.*/m.exec(text) ?? [])
    const told = `STATUS=Serving ${count} sessions on ${fused.socket}`
    await eventually(`it says ${count}; it said: ${notify.messages.join('; ')}`, () => statuses().at(-1) === told)
  }
  await says(0)
  const paths = ['one', 'two'].map((name) => sandbox.directory(name))
  for (const path of paths) await fused.mount(path)
  await says(2)
  await fused.unmount(paths[0] ?? '')
  await says(1)
  await fused.unmount(paths[1] ?? '')
  await says(0)
})
