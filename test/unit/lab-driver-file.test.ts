import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { toJsonSchema } from '@valibot/to-json-schema'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import { fillPlaces } from '../../src/lab/driver/places.ts'
import { startedUnder } from '../../src/lab/driver/shielded.ts'
import { DRIVER_FILE } from '../../src/lab/driver/schema.ts'
import { ROOT } from '../support/paths.ts'

const FILE = { name: 'd', start: ['/bin/d', '{socket}', 1], volume: { id: 'v' }, file: 'f', content: 'c' }

const HELPER = { name: 'h', command: ['/bin/h'], belongs: 'node' }

const STATE = '/var/lib/kubelet/plugins/dummy-fuse-csi'

type Change = Readonly<Record<string, unknown>>

const read = (change: Change = {}): ReturnType<typeof parseDriver> =>
  parseDriver(JSON.stringify({ ...FILE, ...change }), 'driver.yaml')

describe("a driver's file", () => {
  it('has the values of a kubelet and a plugin where it says nothing', () => {
    const { socket, callTimeout, watch, env, create, populate, upgrade, volume, podCgroups, systemd } = read()
    assert.equal(watch, 2000)
    assert.deepEqual([podCgroups, systemd], [false, false])
    assert.deepEqual([socket, callTimeout, env, create, populate], [`${STATE}/csi.sock`, 3000, {}, undefined, undefined])
    assert.deepEqual(upgrade, ['/bin/d', `${STATE}/csi.sock`, '1'])
    assert.deepEqual([volume.id, volume.staged, volume.podInfo, volume.accessMode], ['v', true, false, undefined])
  })

  it('has placeholders filled in wherever there is a text, and leaves other braces alone', () => {
    const text = '{socket} {state} {node} {staging} {other} ${other} {{other}} {'
    const filled = `/s/csi.sock ${STATE} lab-node /var/lib/kubelet/plugins/kubernetes.io/csi/pv/driver-pv/globalmount {other} \${other} {{other}} {`
    const spec = read({
      socket: '/s/csi.sock',
      ...{ start: ['/bin/d', text], upgrade: ['/bin/d', text], env: { A: text }, prepare: text, file: text, content: text },
      populate: `${text} {target}`,
      volume: {
        ...{ attributes: { a: text }, publishContext: { a: text }, secrets: { a: text }, callSecrets: { nodeStage: { a: text } } },
        ...{ id: text, fsType: text, mountFlags: [text] },
      },
    })
    const { volume } = spec
    const { start, upgrade, env, prepare, file, content, populate } = spec
    for (const one of [start[1], upgrade[1], env.A, prepare, file, content, volume.id, volume.fsType, volume.mountFlags?.[0]])
      assert.equal(one, filled)
    for (const one of [volume.volumeContext, volume.publishContext, volume.secrets, volume.callSecrets?.nodeStage])
      assert.deepEqual(one, { a: filled })
    assert.equal(populate, `${filled} {target}`)
    assert.deepEqual(read({ volume: {}, create: { parameters: { a: '{node}', b: true } } }).create?.parameters, {
      a: 'lab-node',
      b: 'true',
    })
    assert.equal(read({ socket: '{state}/own/s.sock' }).socket, `${STATE}/own/s.sock`)
  })

  it('says how the driver is started behind a shield, which is what stands under that mitigation alone', () => {
    const spec = read({ daemon: 'served', container: ['served'], shield: { start: ['/bin/d', '{node}'] } })
    assert.deepEqual(spec.shield, { start: ['/bin/d', 'lab-node'], container: [], readOnly: false })
    const { start, upgrade, container } = startedUnder({ hosting: 'shield' }, spec)
    assert.deepEqual([start, upgrade, container], [['/bin/d', 'lab-node'], ['/bin/d', 'lab-node'], []])
    assert.equal(startedUnder({ hosting: 'child' }, spec), spec)
    assert.equal(read().shield, undefined)
  })

  it('has a placeholder itself where its braces are written twice, and a variable of the shell where a $ comes before those', () => {
    const text = '{{node}} ${{state}} {{target}} {"a":{"b":"{node}"}}'
    const { prepare, content } = read({ prepare: text, content: text })
    for (const one of [prepare, content]) assert.equal(one, '{node} ${state} {target} {"a":{"b":"lab-node"}}')
  })

  it('has its populate filled in with the target at last, and what is written twice stays', () => {
    const { populate = '' } = read({ populate: '{{target}} {target} {{node}} ${{target}}' })
    assert.equal(
      fillPlaces(populate, ['target'], () => '/t'),
      '{target} /t {node} ${target}',
    )
  })

  const CAPACITIES: readonly (readonly [unknown, number, number])[] = [
    [undefined, 0, 0],
    [4096, 4096, 0],
    ['4096', 4096, 0],
    ['1Gi', 2 ** 30, 0],
    ['5k', 5000, 0],
    [{ limit: '2M' }, 0, 2_000_000],
    [{ required: 1, limit: '1Ki' }, 1, 1024],
  ]
  for (const [capacity, required, limit] of CAPACITIES)
    it(`reads the capacity ${JSON.stringify(capacity)}`, () => {
      assert.deepEqual(read({ volume: {}, create: { capacity } }).create?.capacity, { required, limit })
    })

  const WRONG: readonly (readonly [what: string, change: Change, says: RegExp])[] = [
    ['the content is empty', { content: '' }, /content is empty, and no memory map can read an empty file; name one/],
    [
      'an access mode that there is not',
      { volume: { id: 'v', accessMode: 'RWX' } },
      /volume\.accessMode is not one of SINGLE_NODE_WRITER, /,
    ],
    ['a variable that can be none', { env: { 'A=B': 'x' } }, /env\.A=B is not the name of an environment variable/],
    ['a variable that is no text', { env: { A: [1] } }, /env\.A is not a text/],
    ['a socket that is no absolute path', { socket: 'unix:///csi/csi.sock' }, /socket is not an absolute path, without unix:/],
    ['a socket that is a folder', { socket: '/csi/' }, /socket is a folder/],
    ['a network that there is not', { network: 'bridge' }, /network is neither loopback nor host/],
    ['a socket that names itself', { socket: '{socket}' }, /socket has \{socket\}/],
    ['a socket that is too long', { socket: `/${'s'.repeat(107)}` }, /socket has more than 107 bytes/],
    ['calls without time', { callTimeout: 0 }, /callTimeout is less than 0\.1 seconds/],
    ['calls of an hour', { callTimeout: 3600 }, /callTimeout is more than 600 seconds/],
    ['a time that is no number', { callTimeout: '3s' }, /callTimeout is not a number/],
    ['a cure that is not waited for', { watch: 1 }, /watch is less than 2 seconds/],
    ['two helpers of one name', { helpers: [HELPER, HELPER] }, /helpers\.1\.name is that of another helper/],
    [
      'a helper without a path',
      { helpers: [{ ...HELPER, command: ['h'] }] },
      /helpers\.0\.command does not begin with an absolute path/,
    ],
    ['a helper of nothing', { helpers: [{ ...HELPER, belongs: 'pod' }] }, /helpers\.0\.belongs is not container, node or service/],
    [
      'storage that ends with the container',
      { helpers: [{ ...HELPER, belongs: 'container', storage: true }] },
      /helpers\.0 is the storage, and ends with the container; let it belong to the node/,
    ],
    ['systemd that is a word', { systemd: 'host' }, /systemd is neither true nor false/],
    ['cgroups of pods that are neither', { podCgroups: 1 }, /podCgroups is neither true nor false/],
    ['pod information that is neither', { podInfo: 'yes' }, /podInfo is neither true nor false/],
    [
      'secrets of a call that there is not',
      { volume: { id: 'v', callSecrets: { stage: {} } } },
      /no '.*stage'; there are controllerCreate, /,
    ],
    [
      'secrets of CreateVolume alone',
      { volume: { id: 'v', callSecrets: { controllerCreate: {} } } },
      /controllerCreate needs create/,
    ],
    ['an id and create', { create: {} }, /volume\.id is what the answer to CreateVolume says/],
    ['attributes and create', { volume: { attributes: { a: 'b' } }, create: null }, /volume\.attributes is what the answer/],
    ['neither an id nor create', { volume: {} }, /volume\.id is missing/],
    ['a capacity that is none', { volume: {}, create: { capacity: '1 GB' } }, /create\.capacity is not a number of bytes/],
    ['a limit below', { volume: {}, create: { capacity: { required: 2, limit: 1 } } }, /create\.capacity\.limit is less than/],
    [
      'too many bytes',
      { volume: {}, create: { capacity: '99999P' } },
      /create\.capacity\.required is more than 9007199254740991 bytes/,
    ],
    ['populate without a place', { populate: 'touch file' }, /populate has no \{target\}/],
    [
      'a target where there is none',
      { volume: { id: 'v', attributes: { a: '{target}' } } },
      /volume\.attributes\.a has \{target\}.*only populate/,
    ],
    ['populate whose only target is none', { populate: 'touch {{target}}' }, /populate has no \{target\}/],
    [
      'what may be a variable of the shell',
      { prepare: 'node=x; echo ${node}' },
      /: prepare has \$\{node\}, and \{node\} is filled in .*write \$node or \$\{\{node\}\} for a variable/,
    ],
    ['what may be one in populate', { populate: ': ${target} {target}' }, /: populate has \$\{target\}, and /],
    [
      'what may be one for a helper',
      { helpers: [{ ...HELPER, ready: 'test -S ${state}/s' }] },
      /: helpers\.ready has \$\{state\}, /,
    ],
    ['a shield for no daemon', { shield: { start: ['/bin/d'] } }, /shield needs daemon/],
    [
      'a shield that starts nothing',
      { daemon: 'd', shield: { start: ['d'] } },
      /shield\.start does not begin with an absolute path/,
    ],
    ['an empty command', { start: [] }, /start does not begin with an absolute path/],
    ['an empty next version', { upgrade: [] }, /upgrade is empty/],
    ['a list of attributes', { volume: { id: 'v', attributes: ['a'] } }, /volume\.attributes/],
  ]
  for (const [what, change, says] of WRONG)
    it(`is refused with ${what}`, () => {
      assert.throws(
        () => read(change),
        ({ name, message }: Error) =>
          name === 'ProgramError' && message.startsWith('driver.yaml: ') && says.test(message) && message.endsWith(')'),
      )
    })
})

describe('examples/drivers', () => {
  const folder = join(ROOT, 'examples/drivers')

  it('are files that can be read, with the schema for editors', () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'))
    assert.ok(files.length > 0)
    for (const file of files) {
      const text = readFileSync(join(folder, file), 'utf8')
      assert.equal(`${parseDriver(text, file).name}.yaml`, file)
      assert.match(text, /^# yaml-language-server: \$schema=driver\.schema\.json$/m)
    }
  })

  it("has the JSON schema of drivers' files (node packaging/file-schemas.mjs writes it)", () => {
    assert.deepEqual(JSON.parse(readFileSync(join(folder, 'driver.schema.json'), 'utf8')), toJsonSchema(DRIVER_FILE))
  })
})
