import { Metadata, type ServiceError } from '@grpc/grpc-js'

/** The trailing metadata entry of a failure that is the answer of the program itself, and not of a connection that broke. */
const ANSWERED = 'dummy-fuse-answered'

/** The metadata of a failure that another attempt at once would meet again. */
export function answered(): Metadata {
  const metadata = new Metadata()
  metadata.set(ANSWERED, '1')
  return metadata
}

/** Whether a failed call has reached the program, which has answered for good. False for daemons before this mark. */
export function wasAnswered({ metadata }: Partial<Pick<ServiceError, 'metadata'>>): boolean {
  return metadata !== undefined && metadata.get(ANSWERED).length > 0
}
