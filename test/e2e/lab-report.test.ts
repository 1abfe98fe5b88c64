import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Page } from 'puppeteer-core'
import { compareRecords } from '../../src/lab/report/comparison.ts'
import { comparisonPage } from '../../src/lab/report/comparison-page.ts'
import { renderReport } from '../../src/lab/report/report.ts'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'
import { ask, HeadlessBrowser, prefer } from '../support/browser.ts'
import {
  AXE_VIOLATIONS,
  type Contrasts,
  FOCUSED,
  POOR_CONTRASTS,
  SIDEWAYS_SCROLL,
  TWO_CELLS,
  UNFOLD,
} from '../support/page-checks.ts'
import { Sandbox } from '../support/sandbox.ts'

const AXE = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

/** A cell of each verdict, and with each effect. */
const FEW = [
  'plugin-killed none',
  'plugin-killed restore-exit',
  'plugin-killed systemd',
  'plugin-upgraded propagation',
  'daemon-hung restore-exit',
  'daemon-hung health',
  'mount-fails none',
  'mount-late none',
  'mount-late waiting-parent',
  'staging-unmounted health',
  'no-descriptors systemd',
  'connection-aborted keeper',
]
/** Widths of a telephone, a tablet and a desk, in pixels. */
const WIDTHS = [360, 768, 1280] as const

const CELL = 'c-plugin-killed--restore-exit'

/** The text alternative of that cell's timeline. */
const TABLE = `.body:has(#${CELL}) .timeline + .sub .plain`

/** Its last word is wider than any screen here: 400 letters without a place to break. */
const HOSTILE = `<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">"'\`&lt;</style></svg></title>--> \u0000\u001b[31m\u202eevil\u0085\ud800 ${'wide'.repeat(100)}`

describe("the lab's report in a browser", () => {
  let sandbox: Sandbox
  let browser: HeadlessBrowser
  let whole: string
  let few: string

  before(async () => {
    sandbox = new Sandbox()
    whole = saved('whole', sampleRecord())
    const record = sampleRecord({ lines: 12 })
    few = saved('few', {
      ...record,
      cells: record.cells.filter(({ failure, mitigation }) => FEW.includes(`${failure} ${mitigation}`)),
    })
    browser = await HeadlessBrowser.start(sandbox)
  })

  after(async () => {
    try {
      await browser[Symbol.asyncDispose]()
    } finally {
      await sandbox[Symbol.asyncDispose]()
    }
  })

  function saved(name: string, record: LabRecord): string {
    const path = join(sandbox.path, `${name}.html`)
    writeFileSync(path, renderReport(record))
    return path
  }

  it('loads nothing and complains of nothing, also of the whole matrix', async () => {
    const { page, doings } = await browser.open(whole)
    assert.ok((await ask<number>(page, `document.querySelectorAll('.matrix a[data-effects]').length`)) >= 80)
    await page.evaluate(UNFOLD)
    assert.deepEqual(doings, { requests: [], complaints: [] })
    await page.close()
  })

  it('does not scroll sideways on any screen, and can be read by everybody, light and dark', { timeout: 600_000 }, async () => {
    // The matrix of the whole run is the widest thing; the cells are all of one make.
    const { page: folded } = await browser.open(whole, { width: WIDTHS[0] })
    for (const width of WIDTHS) await assertFits(folded, width)
    await folded.close()
    const { page } = await browser.open(few, { width: WIDTHS[0] })
    await page.evaluate(UNFOLD)
    for (const width of WIDTHS) await assertFits(page, width)
    await assertReadable(page, 500)
    await page.close()
  })

  it('is walked with the keyboard: past the opening, through the matrix, into a cell and back', async () => {
    const { page } = await browser.open(few)
    const link = (): Promise<string | null> => ask(page, `document.activeElement.getAttribute('href')`)
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(FOCUSED), 'Skip to the matrix')
    assert.ok(await page.evaluate(`document.activeElement.getBoundingClientRect().top >= 0`))
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(FOCUSED), 'Every failure against every mitigation')
    for (let presses = 0; presses < 20 && (await link()) !== '#c-plugin-killed--none'; presses += 1)
      await page.keyboard.press('Tab')
    assert.equal(await link(), '#c-plugin-killed--none')
    assert.match(await ask(page, `getComputedStyle(document.activeElement).outline`), /solid [2-9]px/)
    await page.keyboard.press('ArrowRight')
    assert.equal(await link(), `#${CELL}`)
    await page.keyboard.press('ArrowDown')
    assert.equal(await link(), '#c-daemon-hung--restore-exit')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(FOCUSED), 'Plugin killed, with: Restore, consumers restart')
    assert.ok(await visible(page, `#${CELL}`))
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(FOCUSED), 'The timeline as a table')
    assert.ok(!(await visible(page, TABLE)))
    await page.keyboard.press('Space')
    assert.ok(await visible(page, TABLE))
    await page.goBack()
    assert.equal(new URL(page.url()).hash, '#matrix')
    await page.close()
  })

  it('opens a cell without its script too', async () => {
    const { page } = await browser.open(few, { script: false })
    assert.ok(!(await visible(page, `#${CELL}`)))
    await page.click(`a[href="#${CELL}"]`)
    assert.ok(await visible(page, `#${CELL}`))
    await page.close()
  })

  it('shows the matrix for one kind of consumer', async () => {
    const { page } = await browser.open(few)
    const words = (): Promise<string> =>
      ask(page, `document.querySelector('a[href="#${CELL}"]').innerText.replaceAll(/\\s+/g, ' ').trim()`)
    assert.equal(await words(), '8 of 10 get errors, then work')
    await page.select('#as', 'starts-after')
    assert.equal(await words(), 'keeps working')
    assert.match(await ask(page, `document.getElementById('as-told').textContent`), /keeps working: \d+/)
    await page.select('#as', '')
    assert.equal(await words(), '8 of 10 get errors, then work')
    await page.close()
  })

  it('tells what is drawn in words', async () => {
    const { page } = await browser.open(few)
    await page.evaluate(UNFOLD)
    const lanes = await ask<[title: string, words: string][]>(
      page,
      `[...document.querySelectorAll('.timeline svg[role=img]')].map((svg) => ['title', 'desc'].map((tag) => svg.querySelector(':scope > ' + tag).textContent))`,
    )
    assert.ok(lanes.length >= 100)
    for (const [title] of lanes) assert.notEqual(title, '')
    assert.ok(lanes.some(([title, words]) => title === 'Memory map' && /\d+ right, \d+ ENOTCONN, 2 restarts/.test(words)))
    const rows = await ask<string>(page, `document.querySelector('${TABLE}').innerText`)
    for (const words of [
      /1\.210 s\s+dummy-fuse-csi serve\s+the failure: Plugin killed/,
      /mended/,
      /reads right \(\d+ times\)/,
      /reads fail/,
    ]) {
      assert.match(rows, words)
    }
    const scopes = await ask<string[]>(page, `[...document.querySelectorAll('.matrix th')].map((th) => th.scope)`)
    assert.deepEqual([...new Set(scopes)].sort(), ['col', 'row'])
    await page.close()
  })

  it('has all its evidence on paper', async () => {
    const record = sampleRecord()
    const [first, second] = record.cells
    assert.ok(first !== undefined && second !== undefined)
    const marked = (cell: typeof first, mark: string): typeof first => ({
      ...cell,
      evidence: {
        logs: [{ lane: 'plugin', atMs: 1300, text: `log-${mark}` }],
        mountsBefore: [`before-${mark}`],
        mountsAfter: [`after-${mark}`],
        holdersBefore: [`holder-${mark}`],
        holdersAfter: [],
        disk: [`disk-${mark}`],
      },
    })
    const path = saved('paper', { ...record, cells: [marked(first, 'one'), marked(second, 'two')] })
    for (const script of [true, false]) {
      const { page } = await browser.open(path, { script })
      const pdf = join(sandbox.path, 'paper.pdf')
      await page.pdf({ path: pdf, printBackground: true, preferCSSPageSize: true, timeout: 120_000 })
      const { stdout, status } = await sandbox.run('pdftotext', ['-layout', pdf, '-'])
      assert.equal(status, 0)
      for (const kind of ['log', 'before', 'after', 'holder', 'disk']) {
        for (const mark of ['one', 'two']) assert.ok(stdout.includes(`${kind}-${mark}`), `${kind}-${mark}, script ${script}`)
      }
      await page.close()
    }
  })

  it('keeps hostile text as text', async () => {
    const record = sampleRecord({ text: HOSTILE })
    const path = saved('hostile', { ...record, cells: record.cells.slice(0, 3) })
    const { page, doings } = await browser.open(path, { width: 360 })
    await page.evaluate(UNFOLD)
    assert.equal(await page.evaluate(SIDEWAYS_SCROLL), 0)
    assert.deepEqual(doings, { requests: [], complaints: [] })
    const found = await ask<Record<string, unknown> & { text: string }>(
      page,
      `({
        hacked: 'hacked' in window,
        scripts: document.scripts.length,
        images: document.images.length,
        handlers: [...document.querySelectorAll('*')].filter((one) => one.getAttributeNames().some((name) => name.startsWith('on'))).length,
        text: [...document.querySelectorAll('.logs td')].map((cell) => cell.textContent).find((text) => text.includes('NodeStageVolume')),
      })`,
    )
    assert.deepEqual({ ...found, text: '' }, { hacked: false, scripts: 1, images: 0, handlers: 0, text: '' })
    const [tags = ''] = HOSTILE.split(' \u0000')
    assert.ok(found.text.includes(`${tags} \u2400\u241b[31m<U+202E>evil<U+0085><U+D800> wide`), found.text.slice(0, 300))
    await page.close()
  })

  it('stays below 3 MB with 80 cells of eleven consumers that each read 2,000 times', () => {
    const record = sampleRecord({ reads: 2000, lines: 400 })
    assert.ok(record.cells.length >= 80)
    const cells = record.cells.slice(0, 80).map((cell) => ({
      ...cell,
      consumers: [...cell.consumers, ...cell.consumers.slice(0, 1)],
      lanes: [...cell.lanes, ...cell.lanes.slice(-1)],
    }))
    const bytes = Buffer.byteLength(renderReport({ ...record, cells }))
    assert.ok(bytes < 3_000_000, `${bytes} bytes`)
  })
})

/** The page, once it is laid out for a width, cannot be scrolled sideways. */
async function assertFits(page: Page, width: number): Promise<void> {
  await page.setViewport({ width, height: 800 })
  assert.equal(await page.evaluate('innerWidth'), width)
  assert.equal(await page.evaluate(SIDEWAYS_SCROLL), 0, `${width} px`)
}

/**
 * Each text can be told from its ground, in either scheme, and axe-core finds nothing; `least` texts are to be seen. Contrasts alone depend on the scheme.
 * What a text stands on is one thing on a telephone and another at a desk; a tablet has each from one of them (src/lab/report/styles). Removes cells.
 */
async function assertReadable(page: Page, least: number): Promise<void> {
  for (const width of [WIDTHS[2], WIDTHS[0]]) {
    await page.setViewport({ width, height: 800 })
    for (const scheme of ['light', 'dark'] as const) {
      await prefer(page, scheme)
      const { seen, poor } = await ask<Contrasts>(page, POOR_CONTRASTS)
      assert.ok(seen > least, `${scheme}, ${width} px: ${seen} texts`)
      assert.deepEqual(poor, [], `${scheme}, ${width} px`)
    }
  }
  await page.evaluate(TWO_CELLS)
  await page.evaluate(AXE)
  for (const width of WIDTHS) {
    await page.setViewport({ width, height: 800 })
    assert.deepEqual(await page.evaluate(AXE_VIOLATIONS), [], `${width} px`)
  }
}

async function visible(page: Page, selector: string): Promise<boolean> {
  return await ask(page, `document.querySelector('${selector}').checkVisibility()`)
}

describe("a driver's report, and two runs side by side, in a browser", () => {
  let sandbox: Sandbox
  let browser: HeadlessBrowser
  let files: Readonly<Record<string, string>>

  before(async () => {
    sandbox = new Sandbox()
    const a = sampleRecord({ lines: 4, text: HOSTILE })
    const other = (mitigation: string): LabRecord['cells'] => a.cells.filter((cell) => cell.mitigation === mitigation)
    const cells = a.cells.flatMap((cell) => {
      const { failure, mitigation } = cell
      if (mitigation === 'health') return []
      const instead = mitigation === 'none' ? 'systemd' : mitigation === 'keeper' ? 'restore' : mitigation
      const found = other(instead).find((one) => one.failure === failure)
      return found === undefined ? [] : [{ ...found, mitigation }]
    })
    const sides = [a, { ...a, cells, scenarios: [] }].map((record, index) => ({ file: `${index}${HOSTILE}`, record }))
    const [before, after] = sides
    assert.ok(before !== undefined && after !== undefined)
    const few = a.cells.filter(({ failure, mitigation }) => FEW.includes(`${failure} ${mitigation}`) && mitigation !== 'keeper')
    const driver = { ...a, scenarios: [], cells: few.map((cell) => ({ ...cell, verdict: 'measured' as const })) }
    const pages = { changes: comparisonPage(compareRecords(before, after)), driver: renderReport(driver) }
    files = Object.fromEntries(Object.keys(pages).map((name) => [name, join(sandbox.path, `${name}.html`)]))
    for (const [name, page] of Object.entries(pages)) writeFileSync(files[name] ?? '', page)
    browser = await HeadlessBrowser.start(sandbox)
  })

  after(async () => {
    try {
      await browser[Symbol.asyncDispose]()
    } finally {
      await sandbox[Symbol.asyncDispose]()
    }
  })

  for (const name of ['changes', 'driver'] as const) {
    it(
      `${name}: does not scroll sideways, and can be read by everybody, light and dark, whatever the records hold`,
      { timeout: 600_000 },
      async () => {
        const { page, doings } = await browser.open(files[name] ?? '', { width: WIDTHS[0] })
        for (const width of WIDTHS) await assertFits(page, width)
        await assertReadable(page, 200)
        assert.equal(await page.evaluate('window.hacked'), undefined)
        assert.deepEqual(doings, { requests: [], complaints: [] })
        await page.close()
      },
    )
  }
})
