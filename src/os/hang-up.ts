/**
 * Resolves when the last copy of a pipe's other end is closed, to whether that came within `deadline` milliseconds; without one it waits for ever. `fd`:
 * the end to read, which it takes over and closes. Rejects with Node's error.
 */
export async function hangsUp(fd: number, deadline?: number): Promise<boolean> {
  const { Socket } = process.getBuiltinModule('node:net')
  const pipe = new Socket({ fd, readable: true, writable: false })
  return await new Promise<boolean>((resolve, reject) => {
    const late = (): void => {
      resolve(false)
      pipe.destroy()
    }
    const timer = deadline === undefined ? undefined : setTimeout(late, deadline)
    pipe.resume().on('error', reject)
    pipe.on('close', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
