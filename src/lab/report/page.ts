import { createHash } from 'node:crypto'
import { Html, html } from './html.ts'
import { SPRITE } from './icons.ts'
import { SCRIPT } from './script.ts'
import { BASE } from './styles/base.ts'
import { COMPARISON } from './styles/comparison.ts'
import { DETAILS } from './styles/details.ts'
import { MATRIX } from './styles/matrix.ts'
import { PRINT } from './styles/print.ts'

const STYLES = [BASE, MATRIX, DETAILS, COMPARISON, PRINT].join('')

/**
 * One HTML file that needs nothing but a browser: no network, no other file, and no script to be read. Whatever the texts hold, they stay text, and
 * the page's own policy lets no script run but the one it was written with. `skip`: the first link, to the id `to`.
 */
export function page(title: string, skip: { readonly to: string; readonly text: string }, main: Html): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="${policy()}" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        ${inline('style', STYLES)}
      </head>
      <body>
        <a class="skip" href="#${skip.to}">${skip.text}</a>
        ${SPRITE}
        <div class="frame"><main>${main}</main></div>
        ${inline('script', SCRIPT)}
      </body>
    </html> `.text
}

/** The element with exactly this text in it: the policy has its hash. */
function inline(element: 'style' | 'script', text: string): Html {
  return new Html(`<${element}>${text}</${element}>`)
}

function policy(): string {
  return `default-src 'none'; style-src ${hashOf(STYLES)}; script-src ${hashOf(SCRIPT)}; base-uri 'none'; form-action 'none'`
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
