import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { ROOT } from './paths.ts'

/** A message that a program of ours can write. `text` has `…` for each part that is put in; `file` is below src. */
interface Message {
  readonly text: string
  readonly file: string
}

/** What stands in a message for a part that is put in. */
const PART = '…'

/** Errors whose messages an operator reads. UsageError is not one of them: its message is the help itself. */
const ERRORS = new Set([
  'CallEnded',
  'FusedError',
  'HostError',
  'NotRunning',
  'ProgramError',
  'QueuedError',
  'Refused',
  'UnsupportedKernelError',
  'VolumeError',
])

/** Errors whose messages come only as a part of others, or are the help. */
const NEVER_ALONE = new Set(['ApiError', 'CallError', 'FileSystemError', 'LeaseLost', 'ProtocolError', 'SystemError', 'UsageError'])

/** Functions that make one of these errors of a failed system call and a message. */
const MAKERS = new Set(['fromErrno'])

/** Methods that write a line of a log as a warning or an error, and those of the session's hooks. */
const LOG_METHODS = new Set(['warning', 'error'])

/** Functions that return the text they are given, with some of it changed or more at its end. */
const WRAPPERS = new Set(['oneLine', 'printable', 'shortened', 'withRemedy'])

/** What the kernel says, in its own words. */
const KERNEL_TEXTS = new Set(['errnoText'])

/** Files whose properties `message` are findings on health. */
const HEALTH_FILES = new Set(['csi/node.ts', 'volumes/health.ts', 'volumes/checked-volumes.ts'])

/** Files that write a message to standard error themselves. */
const STDERR_FILES = new Set(['programs/fused/failed-starts.ts'])

/** Folders of src that no operator of a plugin meets, and what is generated. */
const LEFT_OUT = ['lab/', 'programs/lab', 'rpc/']

/** What has fewer words is no message, but a frame for others or the name of something. */
const LEAST_WORDS = 2

/** A part counts as a message of its own where its text has so many words: it says why, where shorter ones only name things. */
const LEAST_WORDS_OF_A_PART = 4

/** How deep parts of parts are followed. */
const DEPTH = 7

/** What the source says to operators. */
export interface SourceMessages {
  /** In the order of files and texts. */
  readonly messages: readonly Message[]
  /** Classes of errors of which this file does not know whether an operator reads their messages. */
  readonly unknownErrors: readonly string[]
}

/**
 * Every message of our programs that an operator can meet, once for each file: of typed errors, of warnings and errors in the logs, of the
 * findings on health. A text that a function returns or a constant holds is found by the name of the function or constant, and so are the parts of a
 * message that say why. Messages that have no word of their own (`…: …`) are left out: they are frames for others.
 */
export function messagesOfSource(): SourceMessages {
  const sources = new Sources()
  const found = new Map<string, Message>()
  for (const { text, file } of sources.messages())
    // What begins with a space is the end of another text.
    if (!text.startsWith(' ')) found.set(`${file}\t${text}`, { text: text.trim(), file })
  return {
    messages: [...found.values()].sort((a, b) => (a.file + a.text < b.file + b.text ? -1 : 1)),
    unknownErrors: sources.errorClasses().filter((name) => !ERRORS.has(name) && !NEVER_ALONE.has(name)),
  }
}

class Sources {
  readonly #files: readonly ts.SourceFile[]
  /** By the name of a function or method: what it returns. */
  readonly #returns = new Map<string, ts.Expression[]>()
  /** By the name of a function or method: the calls of it. */
  readonly #calls = new Map<string, ts.CallExpression[]>()
  /** By the name of a constant, a variable or a property `why`: what it holds. */
  readonly #values = new Map<string, ts.Expression[]>()
  readonly #found: Message[] = []

  constructor() {
    this.#files = globSync('**/*.ts', { cwd: join(ROOT, 'src') })
      .filter((file) => !LEFT_OUT.some((folder) => file.startsWith(folder)))
      .map((file) => ts.createSourceFile(file, readFileSync(join(ROOT, 'src', file), 'utf8'), ts.ScriptTarget.Latest, true))
    for (const file of this.#files) this.#index(file)
  }

  /** The names of all classes of errors. */
  errorClasses(): readonly string[] {
    return this.#files
      .flatMap((file) => file.statements.filter(ts.isClassDeclaration))
      .flatMap(({ name, heritageClauses = [] }) => {
        const bases = heritageClauses.flatMap(({ types }) => types.map(({ expression }) => expression.getText()))
        const isError = bases.some((base) => base.endsWith('Error') || ERRORS.has(base))
        return isError && name !== undefined ? [name.text] : []
      })
  }

  messages(): readonly Message[] {
    for (const file of this.#files) this.#visit(file)
    return this.#found
  }

  #index(node: ts.Node): void {
    if (ts.isCallExpression(node)) add(this.#calls, calledName(node).getText(), [node])
    else if ((ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node)) && node.name !== undefined)
      add(this.#returns, node.name.getText(), returnsOf(node))
    else if (ts.isVariableDeclaration(node) && node.initializer !== undefined) {
      if (ts.isArrowFunction(node.initializer)) add(this.#returns, node.name.getText(), returnsOf(node.initializer))
      else add(this.#values, node.name.getText(), [node.initializer])
    } else if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.EqualsToken)
      add(this.#values, node.left.getText(), [node.right])
    // The reason of a limit is for people who change it.
    else if (ts.isPropertyAssignment(node) && node.name.getText() === 'why' && !node.getSourceFile().fileName.endsWith('limits.ts'))
      add(this.#values, 'why', [node.initializer])
    ts.forEachChild(node, (child) => this.#index(child))
  }

  #visit(node: ts.Node): void {
    for (const expression of messageOf(node)) this.#take(expression, LEAST_WORDS, DEPTH)
    ts.forEachChild(node, (child) => this.#visit(child))
  }

  /** Takes the texts of an expression and, as messages of their own, those of its parts that have as many words. */
  #take(expression: ts.Expression, leastWords: number, depth: number): void {
    if (depth === 0) return
    for (const leaf of this.#leaves(expression, depth)) {
      const text = textOf(leaf)
      const isMessage = text !== undefined && words(text) >= leastWords
      if (isMessage) this.#found.push({ text, file: leaf.getSourceFile().fileName })
      if (!ts.isTemplateExpression(leaf)) continue
      const leastOfParts = isMessage ? LEAST_WORDS_OF_A_PART : LEAST_WORDS
      for (const span of leaf.templateSpans) this.#take(span.expression, leastOfParts, depth - 1)
    }
  }

  /** The texts that an expression may come to. */
  #leaves(node: ts.Expression, depth: number): readonly ts.Expression[] {
    if (textOf(node) !== undefined) return [node]
    if (ts.isParenthesizedExpression(node) || ts.isAwaitExpression(node) || ts.isAsExpression(node))
      return this.#leaves(node.expression, depth)
    if (ts.isConditionalExpression(node)) return [node.whenTrue, node.whenFalse].flatMap((one) => this.#leaves(one, depth))
    if (ts.isBinaryExpression(node)) {
      const assigned = node.operatorToken.kind === ts.SyntaxKind.QuestionQuestionToken
      return assigned ? [node.left, node.right].flatMap((one) => this.#leaves(one, depth)) : []
    }
    if (depth === 0) return []
    if (ts.isIdentifier(node)) return [...this.#inFile(node, depth), ...this.#given(node, depth)]
    if (ts.isElementAccessExpression(node)) return this.#inFile(node.expression, depth)
    // A reason that another file has given.
    if (ts.isPropertyAccessExpression(node)) return node.name.text === 'why' ? this.#inFolder(node.name, depth) : []
    if (ts.isObjectLiteralExpression(node))
      return node.properties.flatMap((one) => (ts.isPropertyAssignment(one) ? this.#leaves(one.initializer, depth) : []))
    if (ts.isCallExpression(node)) {
      const called = calledName(node)
      if (KERNEL_TEXTS.has(called.getText())) return []
      const given = WRAPPERS.has(called.getText()) ? node.arguments.slice(0, 1).flatMap((one) => this.#leaves(one, depth - 1)) : []
      return [...this.#returned(called, depth), ...given]
    }
    return []
  }

  /** What calls in the same file give for a parameter. */
  #given(name: ts.Identifier, depth: number): readonly ts.Expression[] {
    const parameter = parameterOf(name)
    if (parameter === undefined || WRAPPERS.has(parameter.called)) return []
    const calls = (this.#calls.get(parameter.called) ?? []).filter((call) => call.getSourceFile() === name.getSourceFile())
    return calls.flatMap(({ arguments: given }) => {
      const one = given[parameter.index]
      return one === undefined ? [] : this.#leaves(one, depth - 1)
    })
  }

  /** What functions of this name return: those of the same file, or else all. */
  #returned(name: ts.Node, depth: number): readonly ts.Expression[] {
    const all = this.#returns.get(name.getText()) ?? []
    const near = all.filter((value) => value.getSourceFile() === name.getSourceFile())
    return (near.length > 0 ? near : all).flatMap((value) => this.#leaves(value, depth - 1))
  }

  #inFile(name: ts.Node, depth: number): readonly ts.Expression[] {
    const all = this.#values.get(name.getText()) ?? []
    return all.filter((value) => value.getSourceFile() === name.getSourceFile()).flatMap((value) => this.#leaves(value, depth - 1))
  }

  #inFolder(name: ts.Node, depth: number): readonly ts.Expression[] {
    const all = this.#values.get(name.getText()) ?? []
    return all.filter((value) => folderOf(value) === folderOf(name)).flatMap((value) => this.#leaves(value, depth - 1))
  }
}

/** The function around a node that has it as a parameter, and which one it is. */
function parameterOf(identifier: ts.Identifier): { readonly called: string; readonly index: number } | undefined {
  for (let node: ts.Node = identifier; !ts.isSourceFile(node); node = node.parent) {
    if (!ts.isFunctionDeclaration(node) && !ts.isMethodDeclaration(node)) continue
    const index = node.parameters.findIndex(({ name }) => name.getText() === identifier.text)
    return index < 0 || node.name === undefined ? undefined : { called: node.name.getText(), index }
  }
  return undefined
}

function calledName({ expression }: ts.CallExpression): ts.Expression | ts.MemberName {
  return ts.isPropertyAccessExpression(expression) ? expression.name : expression
}

function returnsOf({ body }: ts.FunctionDeclaration | ts.MethodDeclaration | ts.ArrowFunction): readonly ts.Expression[] {
  if (body === undefined) return []
  return ts.isBlock(body) ? returnsIn(body) : [body]
}

function returnsIn(node: ts.Node): readonly ts.Expression[] {
  const found: ts.Expression[] = []
  ts.forEachChild(node, (child) => {
    if (ts.isReturnStatement(child)) found.push(...(child.expression === undefined ? [] : [child.expression]))
    else if (!ts.isFunctionLike(child)) found.push(...returnsIn(child))
  })
  return found
}

/** The expressions of a node whose texts are messages. */
function messageOf(node: ts.Node): readonly ts.Expression[] {
  if (ts.isNewExpression(node) && ERRORS.has(node.expression.getText())) return [...(node.arguments ?? [])].filter(isNoKind)
  if (ts.isCallExpression(node)) {
    const { expression } = node
    if (ts.isIdentifier(expression) && MAKERS.has(expression.text)) return node.arguments.slice(1)
    // Of the class of an error, which makes its message itself.
    if (expression.kind === ts.SyntaxKind.SuperKeyword && ERRORS.has(className(node)))
      return node.arguments.filter(ts.isTemplateExpression)
    if (expression.getText() === 'process.stderr.write' && STDERR_FILES.has(node.getSourceFile().fileName)) return node.arguments
    if (ts.isPropertyAccessExpression(expression) && LOG_METHODS.has(expression.name.text))
      return node.arguments.slice(-2).filter(isNoKind)
  }
  if (ts.isPropertyAssignment(node) && node.name.getText() === 'message' && HEALTH_FILES.has(node.getSourceFile().fileName))
    return [node.initializer]
  return []
}

/** The kind of an error, and of a line that may be left out, is one word. */
function isNoKind(argument: ts.Expression): boolean {
  return !(ts.isStringLiteral(argument) && !argument.text.includes(' ')) && !ts.isObjectLiteralExpression(argument)
}

function folderOf(node: ts.Node): string {
  return dirname(node.getSourceFile().fileName)
}

function className(node: ts.Node): string {
  for (let around = node; !ts.isSourceFile(around); around = around.parent)
    if (ts.isClassDeclaration(around)) return around.name?.text ?? ''
  return ''
}

function add<T>(index: Map<string, T[]>, name: string, values: readonly T[]): void {
  const known = index.get(name)
  if (known === undefined) index.set(name, [...values])
  else known.push(...values)
}

/** A text with {@link PART} for each part that is put in; undefined for anything else. */
function textOf(node: ts.Node): string | undefined {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text
  if (!ts.isTemplateExpression(node)) return undefined
  return node.head.text + node.templateSpans.map(({ literal }) => PART + literal.text).join('')
}

/** How many words of two letters or more a text has; one without a space is a name. */
function words(text: string): number {
  return text.includes(' ') ? (text.match(/[\p{L}'’]{2,}/gu)?.length ?? 0) : 0
}
