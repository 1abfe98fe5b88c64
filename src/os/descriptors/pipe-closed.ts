/** Resolves when the last copy of a pipe's other end is closed. `fd`: the end to read, which it takes over and closes. Rejects with Node's error. */
export async function pipeClosed(fd: number): Promise<void> {
  const { Socket } = process.getBuiltinModule('node:net')
  const pipe = new Socket({ fd, readable: true, writable: false })
  await new Promise<void>((resolve, reject) => {
    pipe.resume().on('error', reject).on('close', resolve)
  })
}
