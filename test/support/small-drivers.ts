import { join } from 'node:path'
import { compileC } from './compile.ts'
import { peer } from './driver-run.ts'
import { ROOT } from './paths.ts'

/** The file of a driver whose volumes are served by test/peers/fuse-server.c, in one of its ways, by processes of the name `served`. */
export async function served(how: string): Promise<object> {
  const server = await compileC(join(ROOT, 'test/peers/fuse-server.c'))
  return {
    name: 'fuse-driver',
    start: peer('fuse-driver', '{socket}', server, how, 'served'),
    daemon: 'served',
    callTimeout: 60,
    watch: 5,
    volume: { id: 'some-volume', staged: false },
    file: 'dummy-file.txt',
    content: 'Hello world!\n',
  }
}

/** The file of a driver that answers before its FUSE mount stands, from when its volume was populated on (test/peers/fuse-driver.ts). */
export async function late(): Promise<object> {
  const into = await compileC(join(ROOT, 'test/peers/bind-into.c'))
  return {
    ...(await served('daemonises')),
    daemon: undefined,
    env: { FUSE_DRIVER_LATE: '{state}/populated', FUSE_DRIVER_INTO: into },
    watch: 30,
    populate: ': {target} > {state}/populated',
  }
}

/** The file of a driver whose volumes are bind mounts (test/peers/binding-driver.ts). */
export const BINDING = {
  name: 'binding-driver',
  start: peer('binding-driver', '{socket}', '{state}/volume'),
  fuse: false,
  callTimeout: 60,
  prepare: "mkdir {state}/volume && printf '%s' content > {state}/volume/file",
  volume: { id: 'some-volume', staged: false },
  file: 'file',
  content: 'content',
}
