import { status } from '@grpc/grpc-js'

/** As Go prints a code: `InvalidArgument`. */
export function codeName(code: status): string {
  // Go spells these two in its own way.
  if (code === status.OK) return 'OK'
  if (code === status.CANCELLED) return 'Canceled'
  return status[code].toLowerCase().replace(/(^|_)(\w)/g, (_, __, letter: string) => letter.toUpperCase())
}
