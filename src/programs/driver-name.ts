import { UsageError } from '../errors.ts'

/**
 * GetPluginInfoResponse.name: at most 63 letters, digits, dashes and dots, with a letter or digit at both ends, in the notation of a domain name (RFC 1035,
 * 2.3.1), of which no label is empty or begins or ends with a dash.
 */
const PLUGIN_NAME = /^(?=.{1,63}$)[A-Za-z0-9]+(-+[A-Za-z0-9]+)*(\.[A-Za-z0-9]+(-+[A-Za-z0-9]+)*)*$/

/** Checks the value of --drivername. Throws UsageError. */
export function requireDriverName(name: string): void {
  if (PLUGIN_NAME.test(name)) return
  throw new UsageError(
    `--drivername '${name}' is no plugin name: up to 63 letters, digits, dots and dashes, with a letter or digit at both ends and at each side of a dot`,
  )
}
