import { join } from 'node:path'
import ts from 'typescript'
import { ROOT } from './paths.ts'

/**
 * Makes a function that tells where a value is not what an exported type of ours says: a line for each place, empty if it is. The type itself
 * is the schema, so that the two cannot differ. Properties that the type does not have count too.
 */
export function schemaOf(file: string, typeName: string): (value: unknown) => readonly string[] {
  const options = {
    strict: true,
    exactOptionalPropertyTypes: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    target: ts.ScriptTarget.Latest,
  }
  const program = ts.createProgram([join(ROOT, file)], { ...options, module: ts.ModuleKind.NodeNext })
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(join(ROOT, file))
  const module = source === undefined ? undefined : checker.getSymbolAtLocation(source)
  const symbol = module === undefined ? undefined : checker.getExportsOfModule(module).find(({ name }) => name === typeName)
  if (symbol === undefined) throw new Error(`${file} exports no ${typeName}`)
  const type = checker.getDeclaredTypeOfSymbol(symbol)
  return (value) => problems(checker, value, type, '$')
}

function problems(checker: ts.TypeChecker, value: unknown, type: ts.Type, path: string): string[] {
  if (type.isUnion()) return problemsOfUnion(checker, value, type, path)
  const name = checker.typeToString(type)
  if (type.isLiteral()) return value === type.value ? [] : [`${path}: ${JSON.stringify(value)} is not ${name}`]
  if (name === 'true' || name === 'false') return String(value) === name ? [] : [`${path}: ${JSON.stringify(value)} is not ${name}`]
  if (name === 'null') return value === null ? [] : [`${path}: ${JSON.stringify(value)} is not null`]
  if (name === 'undefined') return value === undefined ? [] : [`${path}: ${JSON.stringify(value)} is not left out`]
  if (name === 'number') return Number.isFinite(value) ? [] : [`${path}: ${JSON.stringify(value)} is no number`]
  if (name === 'string') return typeof value === 'string' ? [] : [`${path}: ${JSON.stringify(value)} is no string`]
  if (checker.isArrayType(type)) {
    if (!Array.isArray(value)) return [`${path} is no array`]
    const [element] = checker.getTypeArguments(type as ts.TypeReference)
    return element === undefined ? [] : value.flatMap((one: unknown, index) => problems(checker, one, element, `${path}[${index}]`))
  }
  return problemsOfObject(checker, value, type, path)
}

/** The fewest problems of any member: those of the one that was meant. */
function problemsOfUnion(checker: ts.TypeChecker, value: unknown, type: ts.UnionType, path: string): string[] {
  const each = type.types.map((member) => problems(checker, value, member, path))
  return each.reduce((best, one) => (one.length < best.length ? one : best))
}

function problemsOfObject(checker: ts.TypeChecker, value: unknown, type: ts.Type, path: string): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${path} is no object`]
  const entries = new Map(Object.entries(value))
  const found: string[] = []
  for (const property of checker.getPropertiesOfType(type)) {
    const declared = checker.getTypeOfSymbol(property)
    const optional = (property.flags & ts.SymbolFlags.Optional) !== 0
    if (entries.has(property.name))
      found.push(...problems(checker, entries.get(property.name), declared, `${path}.${property.name}`))
    else if (!optional) found.push(`${path}.${property.name} is missing`)
    entries.delete(property.name)
  }
  const index = checker.getIndexTypeOfType(type, ts.IndexKind.String)
  for (const [key, one] of entries) {
    if (index === undefined) found.push(`${path}.${key} is not in the schema`)
    else found.push(...problems(checker, one, index, `${path}.${key}`))
  }
  return found
}
