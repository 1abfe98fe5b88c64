/** What systemctl, systemd-run and libraries for D-Bus say where no systemd answers. */
const NONE =
  /not been booted with systemd|(connect to|get) (the )?(system )?(scope )?(d-?)?bus\b|\/run\/systemd\/(private|system)|system_bus_socket|org\.freedesktop\.systemd1/i

/** Whether a text of a driver says that it has asked for systemd in vain. */
export function wantsSystemd(text: string): boolean {
  return NONE.test(text)
}
