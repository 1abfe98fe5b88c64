// node packaging/file-schemas.mjs
// Writes the JSON schemas of program files and of drivers' files for editors, out of the schemas that read them.
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { toJsonSchema } from '@valibot/to-json-schema'
import { format, resolveConfig } from 'prettier'
import { DRIVER_FILE } from '../src/lab/driver/schema.ts'
import { PROGRAM_FILE } from '../src/program-file/schema.ts'

const EXAMPLES = join(dirname(fileURLToPath(import.meta.url)), '../examples')

for (const [name, schema] of [
  ['programs/program.schema.json', PROGRAM_FILE],
  ['drivers/driver.schema.json', DRIVER_FILE],
]) {
  const path = join(EXAMPLES, name)
  const text = JSON.stringify(toJsonSchema(schema))
  await writeFile(path, await format(text, { ...(await resolveConfig(path)), filepath: path }))
}
