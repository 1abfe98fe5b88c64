import puppeteer, { type Browser, type Page } from 'puppeteer-core'
import type { Sandbox } from './sandbox.ts'

/** What a page did that a file by itself must not do. */
export interface Doings {
  /** Addresses that it asked for, its own left out. */
  readonly requests: string[]
  /** Lines in the console, and errors that nobody caught. */
  readonly complaints: string[]
}

/** How a page is looked at. */
export interface View {
  readonly width?: number
  readonly script?: boolean
}

/** Evaluates an expression in the page; `T` is what it must give. */
export async function ask<T>(page: Page, expression: string): Promise<T> {
  return (await page.evaluate(expression)) as T
}

/** Shows a page in a colour scheme. */
export async function prefer(page: Page, scheme: 'light' | 'dark'): Promise<void> {
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
}

/** Debian's Chromium without a window. Its profile lies in the sandbox, which ends it too if the test cannot. */
export class HeadlessBrowser implements AsyncDisposable {
  readonly #browser: Browser

  private constructor(browser: Browser) {
    this.#browser = browser
  }

  static async start(sandbox: Sandbox): Promise<HeadlessBrowser> {
    const browser = await puppeteer.launch({
      executablePath: '/usr/bin/chromium',
      userDataDir: sandbox.directory('profile'),
      env: { ...process.env, HOME: sandbox.directory('home'), TMPDIR: sandbox.path },
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
      timeout: 60_000,
      protocolTimeout: 120_000,
    })
    return new HeadlessBrowser(browser)
  }

  /** Opens a file of this machine; at most 60 s. */
  async open(path: string, { width = 1280, script = true }: View = {}): Promise<{ page: Page; doings: Doings }> {
    const page = await this.#browser.newPage()
    const doings: Doings = { requests: [], complaints: [] }
    const address = `file://${path}`
    page.on('request', (request) => {
      if (request.url().split('#')[0] !== address) doings.requests.push(request.url())
    })
    page.on('console', (message) => doings.complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => doings.complaints.push(String(error)))
    await page.setJavaScriptEnabled(script)
    await page.setViewport({ width, height: 800 })
    await prefer(page, 'light')
    await page.goto(address, { timeout: 60_000 })
    return { page, doings }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close()
  }
}
