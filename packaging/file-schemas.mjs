// node packaging/file-schemas.mjs
// Writes the JSON schemas of program files and of drivers' files for editors, out of the schemas that read them.
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { toJsonSchema } from '@valibot/to-json-schema'
import { format } from 'oxfmt'
import { DRIVER_FILE } from '../src/lab/driver/schema.ts'
import { PROGRAM_FILE } from '../src/program-file/schema.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const { printWidth } = JSON.parse(await readFile(join(ROOT, '.oxfmtrc.json'), 'utf8'))

for (const [name, schema] of [
  ['programs/program.schema.json', PROGRAM_FILE],
  ['drivers/driver.schema.json', DRIVER_FILE],
]) {
  const path = join(ROOT, 'examples', name)
  const { code, errors } = await format(path, JSON.stringify(toJsonSchema(schema)), { printWidth })
  if (errors.length > 0) throw new Error(`${name}: ${errors[0].message}`)
  await writeFile(path, code)
}
