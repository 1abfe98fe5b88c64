import type { CallError } from '../../grpc/client.ts'
import { secretsOf, type SecretCall } from '../kubelet.ts'
import type { DriverSpec } from './spec.ts'

/** The calls that carry what the file says, by the name that the CSI specification and the file have for them. */
const SECRETS_OF: Readonly<Record<string, SecretCall>> = {
  CreateVolume: 'controllerCreate',
  DeleteVolume: 'controllerDelete',
  NodeStageVolume: 'nodeStage',
  NodePublishVolume: 'nodePublish',
}

/** Codes of answers to what a call carries, and the fields that are the first to look at where the answer names none. */
const OF_FIELDS: Readonly<Record<string, RegExp | undefined>> = {
  INVALID_ARGUMENT: /./,
  OUT_OF_RANGE: /./,
  ALREADY_EXISTS: /./,
  NOT_FOUND: /^volume\.id$/,
  UNAUTHENTICATED: /secrets/i,
  PERMISSION_DENIED: /secrets/i,
}

/** A field of the file that a call carries. */
interface Field {
  readonly name: string
  /** How an answer speaks of it. */
  readonly words: RegExp
  /** What it has: an answer that names one of them means this field. */
  readonly entries: readonly string[]
  /** Its name with one of the entries. */
  readonly with?: (entry: string) => string
}

/**
 * Which field of a driver's file a driver refuses by its answer to a call, in words: `volume.mountFlags (nosuid)`. Where the answer names none, all that the call
 * carries. Undefined for an answer that is about something else.
 */
export function refusedField(
  driver: DriverSpec,
  call: string,
  { code, details }: Pick<CallError, 'code' | 'details'>,
): string | undefined {
  if (!Object.hasOwn(SECRETS_OF, call)) return undefined
  const fields = fieldsOf(driver, call)
  const first = OF_FIELDS[code]
  if (first === undefined) return refusedOption(driver, details)
  const found = named(fields, details)
  if (found !== undefined) return found
  const given = fields.filter(({ entries }) => entries.length > 0).map(({ name }) => name)
  const likely = given.filter((name) => first.test(name))
  const names = likely.length > 0 ? likely : given
  return names.length < 2 ? names[0] : `one of ${names.join(', ')}`
}

/** A mount option that an answer calls unknown or wrong, whatever its code: mount programs say so, and drivers pass it on as INTERNAL. */
function refusedOption({ volume }: DriverSpec, details: string): string | undefined {
  const refuses = String.raw`\b(unknown|unrecogni[sz]ed|invalid|illegal|bad|unsupported|forbidden|not (supported|allowed|permitted|known|recogni[sz]ed))\b`
  const option = optionsOf(volume.mountFlags ?? []).find((name) => {
    const word = String.raw`(?<![\w.-])${RegExp.escape(name)}(?![\w-])`
    return new RegExp(`${refuses}[^.;\\n]{0,40}${word}|${word}[^.;\\n]{0,40}${refuses}`, 'i').test(details)
  })
  return option === undefined ? undefined : `volume.mountFlags (${option})`
}

/** The field that an answer means: by its name and an entry, a quoted entry, its name alone, or an entry of some length. */
function named(fields: readonly Field[], details: string): string | undefined {
  const entry = ({ entries }: Field, matches: (entry: string) => boolean): string | undefined => entries.find(matches)
  const bare = (text: string): boolean => new RegExp(String.raw`(?<![\w.-])${RegExp.escape(text)}(?![\w-])`).test(details)
  const quoted = (text: string): boolean => ["'", '"', '`'].some((mark) => details.includes(mark + text + mark))
  const spoken = fields.filter(({ words }) => words.test(details))
  const attempts: readonly (readonly [readonly Field[], (field: Field) => string | undefined])[] = [
    [spoken, (field) => entry(field, bare)],
    [fields, (field) => entry(field, quoted)],
    [spoken, () => ''],
    [fields, (field) => entry(field, (text) => text.length > 3 && bare(text))],
  ]
  for (const [among, entryOf] of attempts)
    for (const field of among) {
      const found = entryOf(field)
      if (found !== undefined) return found === '' ? field.name : (field.with?.(found) ?? field.name)
    }
  return undefined
}

/** Of NodePublishVolume alone. */
const OF_PUBLICATION: readonly Field[] = [
  { name: 'podInfo', words: /\bpod\b|\bpod[ _-]?info/i, entries: [] },
  { name: 'volume.staged', words: /\bstaging[ _-]?(target[ _-]?)?path\b/i, entries: [] },
]

/** The fields of the file that a call carries, in the order in which they are looked for. */
function fieldsOf({ volume, create }: DriverSpec, call: string): readonly Field[] {
  const { id, mountFlags = [], accessMode = 'MULTI_NODE_MULTI_WRITER', fsType, callSecrets = {}, publishContext = {} } = volume
  const below = (name: string) => (entry: string) => `${name}.${entry}`
  const own = SECRETS_OF[call] ?? 'nodeStage'
  const secrets = own in callSecrets ? `volume.callSecrets.${own}` : 'volume.secrets'
  const ofSecrets: Field = {
    name: secrets,
    words: /\bsecrets?\b|\bcredentials?\b|\bpassword\b|\btoken\b/i,
    entries: Object.keys(secretsOf(volume, own)),
    with: below(secrets),
  }
  if (call === 'DeleteVolume') return [ofSecrets]
  const capability: readonly Field[] = [
    {
      name: 'volume.mountFlags',
      words: /\bmount[ _-]?(flag|option)s?\b/i,
      entries: optionsOf(mountFlags),
      with: (entry) => `volume.mountFlags (${entry})`,
    },
    {
      name: 'volume.accessMode',
      words: /\baccess[ _-]?modes?\b|\b(SINGLE|MULTI)_NODE_[A-Z_]+|\bRead(Write|Only)(Once|Many)/i,
      entries: [accessMode],
    },
    { name: 'volume.fsType', words: /\bfs[ _-]?type\b|\bfile ?system type\b/i, entries: fsType === undefined ? [] : [fsType] },
    ofSecrets,
  ]
  if (call === 'CreateVolume')
    return [
      ...capability,
      { name: 'create.capacity', words: /\bcapacity\b|\bsize\b/i, entries: [] },
      {
        name: 'create.parameters',
        words: /\bparameters?\b/i,
        entries: Object.keys(create?.parameters ?? {}),
        with: below('create.parameters'),
      },
    ]
  // A volume of create has the context that the driver itself has answered.
  const [context, entries] =
    create === undefined
      ? ['volume.attributes', Object.keys(volume.volumeContext ?? {})]
      : ['create.parameters', Object.keys(create.parameters)]
  return [
    ...capability,
    {
      name: 'volume.publishContext',
      words: /\bpublish[ _-]?context\b/i,
      entries: Object.keys(publishContext),
      with: below('volume.publishContext'),
    },
    { name: context, words: /\bvolume[ _-]?context\b|\battributes?\b|\bparameters?\b/i, entries, with: below(context) },
    ...(call === 'NodePublishVolume' ? OF_PUBLICATION : []),
    ...(create === undefined ? [{ name: 'volume.id', words: /\bvolume[ _-]?(id|handle)\b/i, entries: [id] }] : []),
  ]
}

/** The names of mount options, without their values: a value may be a secret. */
function optionsOf(mountFlags: readonly string[]): readonly string[] {
  return mountFlags.flatMap((flag) => flag.split(',')).map((option) => option.replace(/=.*$/s, ''))
}
