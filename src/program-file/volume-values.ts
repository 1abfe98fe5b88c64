import { UsageError } from '../errors.ts'
import { FLAG_OPTIONS, flagsOfAMount } from '../os/mounts/mount-flags.ts'
import type { ProgramSpec, Rule } from './spec.ts'

/** Bytes of a value, and of all mount flags of a capability (CSI spec, "Size Limits"). */
const LONGEST = 4096

/** Keys that Kubernetes adds to parameters and attributes: the kubelet and the external-provisioner. No parameter begins so. */
const OF_KUBERNETES = ['csi.storage.k8s.io/', 'storage.kubernetes.io/']

/** Mount flags that the kernel obeys for each mount, so that the plugin sets them at each target. `suid` and `dev` give privileges and are not among them. */
const OF_EACH_MOUNT: ReadonlySet<string> = new Set(
  Object.entries(FLAG_OPTIONS).flatMap(([name, { flag }]) =>
    flagsOfAMount(flag) !== 0 && name !== 'suid' && name !== 'dev' ? [name] : [],
  ),
)

/**
 * The parameters of a volume, with the defaults of the file: those of a StorageClass, or the attributes of a volume. Throws UsageError for one that the
 * file does not allow, or that is missing.
 */
export function checkParameters(
  { name: program, parameters }: ProgramSpec,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const own = Object.entries(given).filter(([key]) => !OF_KUBERNETES.some((prefix) => key.startsWith(prefix)))
  for (const [key, value] of own) {
    const parameter = parameters.get(key)
    if (parameter === undefined)
      throw new UsageError(`parameter '${key}' is not allowed for ${program}; ${listOf('allowed', [...parameters.keys()])}`)
    checkValue(`parameter '${key}'`, value, parameter.rule)
    if (parameter.option !== undefined) checkInOption(`parameter '${key}'`, value)
  }
  const named = new Map(own)
  for (const [key, parameter] of parameters) {
    if (named.has(key)) continue
    if (parameter.default !== undefined) named.set(key, parameter.default)
    else if (!parameter.optional) throw new UsageError(`parameter '${key}' is missing; give it ${parameter.rule.form}`)
  }
  return Object.fromEntries([...named].sort(([one], [other]) => (one < other ? -1 : 1)))
}

/** {@link checkParameters} for the attributes that a pod gives for its inline ephemeral volume. A pod is not trusted. Throws UsageError. */
export function checkInlineParameters(
  spec: ProgramSpec,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const refused = Object.keys(given).find((key) => spec.parameters.get(key)?.inline === false)
  if (refused !== undefined) {
    const inline = [...spec.parameters].flatMap(([key, parameter]) => (parameter.inline ? [key] : []))
    throw new UsageError(`a pod may not set parameter '${refused}' of ${spec.name}; ${listOf('allowed', inline)}`)
  }
  return checkParameters(spec, given)
}

/** The mount flags of a capability, each once, the later of two that contradict each other. Throws UsageError for one that the file does not allow. */
export function checkProgramFlags({ name: program, mountFlags }: ProgramSpec, flags: readonly string[]): readonly string[] {
  const size = flags.reduce((all, flag) => all + Buffer.byteLength(flag), 0)
  if (size > LONGEST) throw new UsageError(`the flags have ${size} bytes in all; the CSI spec allows ${LONGEST}`)
  const settled = new Map<string, string>()
  for (const flag of flags) {
    const { key, value } = partsOf(flag)
    const known = mountFlags.get(key)
    if (known === undefined && !OF_EACH_MOUNT.has(flag)) {
      const all = [...mountFlags.keys(), ...OF_EACH_MOUNT]
      throw new UsageError(`mount flag '${key}' is not allowed for ${program}; ${listOf('allowed', all)}`)
    }
    if (value !== undefined) {
      if (known?.rule === undefined) throw new UsageError(`mount flag '${key}' takes no value`)
      checkValue(`mount flag '${key}'`, value, known.rule)
      checkInOption(`mount flag '${key}'`, value)
    } else if (known?.rule !== undefined)
      throw new UsageError(`mount flag '${key}' needs a value, ${known.rule.form}, such as ${key}=VALUE`)
    for (const other of [key, ...(Object.hasOwn(FLAG_OPTIONS, key) ? (FLAG_OPTIONS[key]?.contradicts ?? []) : [])])
      settled.delete(other)
    settled.set(key, flag)
  }
  return [...settled.values()]
}

/** The mount options that a pod gives for its inline ephemeral volume: those that the kernel obeys for each mount. Throws UsageError for any other. */
export function podFlags({ name: program }: ProgramSpec, options: readonly string[]): readonly string[] {
  const refused = options.find((option) => !OF_EACH_MOUNT.has(option))
  if (refused !== undefined)
    throw new UsageError(
      `a pod may not set mount option '${partsOf(refused).key}' of ${program}; it may set ${[...OF_EACH_MOUNT].join(', ')}`,
    )
  return options
}

/** A mount flag's name, and what follows the first `=`. */
export function partsOf(flag: string): { readonly key: string; readonly value: string | undefined } {
  const at = flag.indexOf('=')
  return at < 0 ? { key: flag, value: undefined } : { key: flag.slice(0, at), value: flag.slice(at + 1) }
}

function checkValue(what: string, value: string, rule: Rule): void {
  if (Buffer.byteLength(value) > LONGEST) throw new UsageError(`${what} has more than ${LONGEST} bytes`)
  if (/\p{Cc}/u.test(value)) throw new UsageError(`${what} holds a control character`)
  if (!rule.allows(value)) throw new UsageError(`${what} is not ${rule.form}`)
}

/** In a list of options a comma would begin the next one. Throws UsageError. */
export function checkInOption(what: string, value: string): void {
  if (/[,\\]/.test(value)) throw new UsageError(`${what} holds a comma or a backslash, and stands in a list of mount options`)
}

function listOf(what: string, names: readonly string[]): string {
  return names.length === 0 ? `none is ${what}` : `${what} are ${names.join(', ')}`
}
