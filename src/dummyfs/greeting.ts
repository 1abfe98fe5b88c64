/** The one file of the original project's dummy-fuse. */
export const FILE_NAME = 'dummy-file.txt'

export const GREETING: Uint8Array = Buffer.from('Hello world!\n')
