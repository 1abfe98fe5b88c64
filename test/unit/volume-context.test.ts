import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readPublishContext } from '../../src/csi/volume-context.ts'
import { VolumeError } from '../../src/volumes/errors.ts'

const PREFIX = 'csi.storage.k8s.io/'

/** What the kubelet adds with podInfoOnMount and a token request. */
const POD = {
  [`${PREFIX}pod.name`]: 'web-0',
  [`${PREFIX}pod.namespace`]: 'shop',
  [`${PREFIX}pod.uid`]: '3f1c',
  [`${PREFIX}serviceAccount.name`]: 'default',
  [`${PREFIX}serviceAccount.tokens`]: '{"":{"token":"t"}}',
}

describe('readPublishContext', () => {
  it('knows the pod of a persistent volume, whose attributes have no effect', () => {
    const context = { ...POD, [`${PREFIX}ephemeral`]: 'false', name: 'pvc-1', mountOptions: 'suid' }
    const pod = { namespace: 'shop', name: 'web-0', uid: '3f1c' }
    assert.deepEqual(readPublishContext(context), { ephemeral: false, pod, attributes: {}, mountOptions: '' })
    assert.deepEqual(readPublishContext({}), { ephemeral: false, pod: undefined, attributes: {}, mountOptions: '' })
  })

  it('knows an inline ephemeral volume, its mount options, and whatever the kubelet adds', () => {
    const context = { ...POD, [`${PREFIX}ephemeral`]: 'true', [`${PREFIX}of.a.later.kubelet`]: 'x', mountOptions: 'ro' }
    const { ephemeral, mountOptions } = readPublishContext(context)
    assert.deepEqual({ ephemeral, mountOptions }, { ephemeral: true, mountOptions: 'ro' })
  })

  it('has the attributes of an inline ephemeral volume where volumes have parameters, without those of the kubelet', () => {
    const context = { ...POD, [`${PREFIX}ephemeral`]: 'true', bucket: 'b', mountOptions: 'ro' }
    const { attributes, mountOptions } = readPublishContext(context, true)
    assert.deepEqual({ attributes, mountOptions }, { attributes: { bucket: 'b' }, mountOptions: 'ro' })
    assert.deepEqual(readPublishContext({ ...POD, bucket: 'b' }, true).attributes, {})
  })

  it('has a pod only if it is named whole', () => {
    for (const missing of ['pod.name', 'pod.namespace'])
      assert.equal(readPublishContext({ ...POD, [PREFIX + missing]: '' }).pod, undefined)
    assert.equal(readPublishContext({ ...POD, [`${PREFIX}pod.uid`]: '' }).pod?.uid, '')
  })

  const WRONG: Readonly<Record<string, readonly [Record<string, string>, RegExp]>> = {
    'an attribute that it does not have': [
      { [`${PREFIX}ephemeral`]: 'true', size: '1' },
      /volume attribute 'size' is unknown.*mountOptions/,
    ],
    'a word that is neither true nor false': [
      { [`${PREFIX}ephemeral`]: 'True' },
      /ephemeral is 'True'; the kubelet says true or false/,
    ],
    'a pod whose name no pod can have': [{ ...POD, [`${PREFIX}pod.name`]: 'x'.repeat(254) }, /pod\.name is no name of Kubernetes/],
  }
  for (const [title, [context, says]] of Object.entries(WRONG)) {
    it(`refuses ${title}`, () => {
      assert.throws(
        () => readPublishContext(context),
        (error) => error instanceof VolumeError && error.kind === 'invalid' && says.test(error.message),
      )
    })
  }
})
