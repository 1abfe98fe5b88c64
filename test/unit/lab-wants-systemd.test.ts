import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { wantsSystemd } from '../../src/lab/driver/wants-systemd.ts'

const ASKED = [
  "System has not been booted with systemd as init system (PID 1). Can't operate.",
  'Failed to connect to bus: Host is down',
  'Failed to connect to system scope bus via local transport: No such file or directory',
  'Failed to get D-Bus connection: Operation not permitted',
  'dial unix /run/systemd/private: connect: no such file or directory',
  'dial unix /var/run/dbus/system_bus_socket: connect: connection refused',
  'The name org.freedesktop.systemd1 was not provided by any .service files',
]

const OTHERS = [
  'transport endpoint is not connected',
  'connect to 10.0.0.1:2049: connection refused',
  'the driver is started by systemd',
  'dial unix /run/other/csi.sock: connect: no such file or directory',
]

describe('what a driver says that asks for systemd in vain', () => {
  for (const text of ASKED)
    it(`is ${text}`, () => {
      assert.ok(wantsSystemd(text))
    })
  for (const text of OTHERS)
    it(`is not ${text}`, () => {
      assert.ok(!wantsSystemd(text))
    })
})
