/**
 * What a shield and a plugin say to a holder, in datagrams of sd_notify(3)'s form:
 * - `FDSTORE=1`, FDNAME: the session of that name. Three descriptors come along: the kernel's connection, the shield's state, and the end to read of a pipe that hangs up when
 *   the shield ends.
 * - `FDSTOREREMOVE=1`, FDNAME: the session has ended.
 * - `X_FETCH=1`, FDNAME, with one end of a socket pair: a successor asks for the session. It gets the first two descriptors by that end once the shield has ended. The end is
 *   closed without a message where there is no such session.
 * - `X_PROMISE=1`, FDNAME, with the end to write of a pipe: the shield is about to be killed. The holder writes a byte if it keeps the session until a successor has it, and closes the
 *   end.
 */

/** How many descriptors a session has in a message to the holder, and in its answer. */
export const STORED = 3
export const FETCHED = 2

/** Asks for the session of a name. */
export function fetchMessage(name: string): Buffer {
  return Buffer.from(`X_FETCH=1\nFDNAME=${name}`)
}

/** Asks for the promise to keep it. */
export function promiseMessage(name: string): Buffer {
  return Buffer.from(`X_PROMISE=1\nFDNAME=${name}`)
}
