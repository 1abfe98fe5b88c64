import { codeOf, errnoMeaning, isProgramError, messageOf, withRemedy } from '../errors.ts'
import { STATUS } from '../os/processes/exit-status.ts'

/** A program's last line, empty for none, and its exit status. */
export interface Exit {
  readonly message: string
  readonly status: number
}

/** How a program ends by what it threw: undefined for a flaw of ours, whose stack is wanted. */
export function exitOf(error: unknown): Exit | undefined {
  if (!isProgramError(error))
    return lacks(error) ? { message: withRemedy(messageOf(error), error), status: STATUS.exhausted } : undefined
  const { message, status, cause } = error
  if (message !== '' && status === STATUS.failed && lacks(cause))
    return { message: withRemedy(message, cause), status: STATUS.exhausted }
  return { message, status }
}

/** Whether something of this node had run out. */
function lacks(error: unknown): boolean {
  return errnoMeaning(codeOf(error)) === 'exhausted'
}
