// node packaging/file-schemas.mjs
// Writes the JSON schemas of program files and of drivers' files for editors, and that of a program in the chart's values, out of the schemas that read them.
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { toJsonSchema } from '@valibot/to-json-schema'
import { format } from 'oxfmt'
import { DRIVER_FILE } from '../src/lab/driver/schema.ts'
import { PROGRAM_FILE } from '../src/program-file/schema.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const { printWidth } = JSON.parse(await readFile(join(ROOT, '.oxfmtrc.json'), 'utf8'))

/** Writes a file as oxfmt formats it. */
async function write(path, value) {
  const { code, errors } = await format(path, JSON.stringify(value), { printWidth })
  if (errors.length > 0) throw new Error(`${path}: ${errors[0].message}`)
  await writeFile(path, code)
}

const program = toJsonSchema(PROGRAM_FILE)
await write(join(ROOT, 'examples/programs/program.schema.json'), program)
await write(join(ROOT, 'examples/drivers/driver.schema.json'), toJsonSchema(DRIVER_FILE))

const values = join(ROOT, 'chart/dummy-fuse-csi/values.schema.json')
const chart = JSON.parse(await readFile(values, 'utf8'))
const { $schema: _, ...definition } = program
await write(values, { ...chart, definitions: { ...chart.definitions, program: withPatterns(definition) } })

/** The schema with patternProperties in place of propertyNames, for which Helm 4 names another value than the wrong one. */
function withPatterns(schema) {
  if (Array.isArray(schema)) return schema.map(withPatterns)
  if (typeof schema !== 'object' || schema === null) return schema
  const mapped = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withPatterns(value)]))
  if (mapped.propertyNames === undefined) return mapped
  const { propertyNames, additionalProperties, ...others } = mapped
  return { ...others, patternProperties: { [propertyNames.pattern]: additionalProperties }, additionalProperties: false }
}
