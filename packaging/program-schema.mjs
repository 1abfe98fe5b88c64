// node packaging/program-schema.mjs
// Writes examples/programs/program.schema.json, the JSON schema of program files for editors, out of the schema that reads them.
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { toJsonSchema } from '@valibot/to-json-schema'
import { format, resolveConfig } from 'prettier'
import { PROGRAM_FILE } from '../src/program-file/schema.ts'

const path = join(dirname(fileURLToPath(import.meta.url)), '../examples/programs/program.schema.json')
const text = JSON.stringify(toJsonSchema(PROGRAM_FILE))
await writeFile(path, await format(text, { ...(await resolveConfig(path)), filepath: path }))
