/** Names after which a plugin begins again with the first: the kubelet has forgotten that it refused it, or tries it all the same within two minutes. */
export const MOST_SOCKETS = 99

/** The name of the `nth` socket of a driver in the kubelet's folder, from 0. The kubelet skips names that begin with a dot; a driver's never does. */
export function socketName(driverName: string, nth: number): string {
  return nth === 0 ? `${driverName}-reg.sock` : `${driverName}-reg-${nth + 1}.sock`
}

/** Whether {@link socketName} gives a driver this name. */
export function isSocketOf(driverName: string, name: string): boolean {
  return name.startsWith(`${driverName}-reg`) && /^(-[1-9]\d*)?\.sock$/.test(name.slice(`${driverName}-reg`.length))
}
