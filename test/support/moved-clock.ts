import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileC } from './compile.ts'
import { ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** The wall clock (CLOCK_REALTIME) as programs of a sandbox see it. The machine's own stays as it is. */
export class MovedClock {
  /** What a program is to have in its environment. */
  readonly env: Readonly<Record<string, string>>
  readonly #file: string

  private constructor(library: string, file: string) {
    this.#file = file
    this.env = { LD_PRELOAD: library, MOVED_CLOCK: file }
    writeFileSync(file, Buffer.alloc(8))
  }

  static async make(sandbox: Sandbox): Promise<MovedClock> {
    const library = await compileC(join(ROOT, 'test/peers/moved-clock.c'), { shared: true })
    return new MovedClock(library, join(sandbox.path, 'moved-clock'))
  }

  /** Words of a program that executes another one with this clock. */
  get by(): readonly string[] {
    return ['/usr/bin/env', ...Object.entries(this.env).map(([name, value]) => `${name}=${value}`)]
  }

  /** Sets it so many seconds after the machine's own, from now on; before it, if negative. */
  move(seconds: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(seconds))
    // In place: programs have it mapped.
    writeFileSync(this.#file, bytes, { flag: 'r+' })
  }
}
