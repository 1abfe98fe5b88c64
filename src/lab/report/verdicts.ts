import type { Verdict } from '../matrix/lab-record.ts'

/** How a verdict is told: in the matrix, where what is as it must be needs no word and the word goes on "than modelled", and in a sentence. */
export const VERDICTS: Readonly<Record<Verdict, { readonly badge: string; readonly words: string }>> = {
  'as-modelled': { badge: '', words: 'as the model says' },
  better: { badge: 'better', words: 'better than the model says' },
  worse: { badge: 'worse', words: 'worse than the model says' },
  different: { badge: 'other', words: 'otherwise than the model says' },
  measured: { badge: '', words: 'measured; there is no model of this driver' },
  'not-run': { badge: '', words: 'not run' },
}
