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
