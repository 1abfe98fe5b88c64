import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { StatusLine } from '../../src/programs/status-line.ts'
import type { ServiceManager } from '../../src/sd/service-manager.ts'

/** A service manager that keeps what it is told. */
function listener(): { readonly manager: ServiceManager; readonly told: string[] } {
  const told: string[] = []
  const tell = (...assignments: readonly string[]): void => {
    told.push(assignments.join(' '))
  }
  return { manager: { announce: tell, notify: tell } as unknown as ServiceManager, told }
}

void test('a STATUS follows what it tells of, a second after a change, once for all changes until then, and not where nothing is different', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const { manager, told } = listener()
    let count = 3
    const status = new StatusLine(manager, () => `${count} left`)
    status.changed()
    mock.timers.tick(2000)
    assert.deepEqual(told, [], 'nothing is told before READY=1')
    status.ready()
    assert.deepEqual(told.splice(0), ['READY=1 STATUS=3 left'])
    count = 2
    status.changed()
    mock.timers.tick(900)
    count = 1
    status.changed()
    assert.deepEqual(told, [])
    mock.timers.tick(100)
    assert.deepEqual(told.splice(0), ['STATUS=1 left'])
    status.changed()
    mock.timers.tick(1000)
    assert.deepEqual(told, [])
    count = 0
    status.changed()
    mock.timers.tick(1000)
    assert.deepEqual(told, ['STATUS=0 left'])
  } finally {
    mock.timers.reset()
  }
})
