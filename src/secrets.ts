/** What stands in place of a secret, in logs and reports. */
export const STRIPPED = '***stripped***'

/**
 * Keys of contexts and parameters whose values are kept from logs. The kubelet has the tokens of a CSIDriver's tokenRequests in
 * csi.storage.k8s.io/serviceAccount.tokens of volume_context (kubernetes pkg/volume/csi/csi_mounter.go); other drivers' volumes bring passwords along.
 */
const SECRET_KEY = /token|secret|passw|passphrase|credential|private|access[-_.]?key|api[-_.]?key|bearer|auth/i

/** Whether the value of an entry of a context or of parameters is a secret, by the entry's key. */
export function namesSecret(key: string): boolean {
  return SECRET_KEY.test(key)
}

/** Characters that a value, or a line of it, has at least where it is told from other text. */
const SHORTEST = 4

/** Finds secrets in text that another program has written. */
export class SecretTexts {
  /** The longest first: one may be a part of another. */
  readonly #texts: readonly string[]

  constructor(values: readonly string[]) {
    this.#texts = [...new Set(values.flatMap(formsOf))].sort((a, b) => b.length - a.length)
  }

  /** A text with each secret replaced. */
  stripped(text: string): string {
    return this.#texts.reduce((now, secret) => now.replaceAll(secret, STRIPPED), text)
  }
}

/** A value as programs show it: as it is, line by line, and each escaped as JSON and Go escape it, or in Base64. */
function formsOf(value: string): readonly string[] {
  const parts = [value, ...value.split('\n')].filter((part) => part.length >= SHORTEST)
  const base64 = value.length < SHORTEST ? [] : [Buffer.from(value).toString('base64')]
  return [...parts, ...parts.map((part) => JSON.stringify(part).slice(1, -1)), ...base64]
}
