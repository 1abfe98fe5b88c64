/**
 * Resolves when the last copy of a pipe's other end is closed, to what was written there before. `fd`: the end to read, which it takes over and closes.
 * Rejects with Node's error.
 */
export async function pipeClosed(fd: number): Promise<Buffer> {
  const { Socket } = process.getBuiltinModule('node:net')
  const pipe = new Socket({ fd, readable: true, writable: false })
  const chunks: Buffer[] = []
  return await new Promise((resolve, reject) => {
    pipe
      .on('data', (chunk) => chunks.push(chunk))
      .on('error', reject)
      .on('close', () => resolve(Buffer.concat(chunks)))
  })
}
