/**
 * What the kubelet has said. `waiting`: it has not asked for the plugin yet; `asked`: it has, and has not said yet how the registration ended; `refused`:
 * with its words; `unseen`: it does not see the socket until it is restarted, with the reason.
 */
export type RegistrationState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'asked' }
  | { readonly kind: 'registered' }
  | { readonly kind: 'refused'; readonly error: string }
  | { readonly kind: 'unseen'; readonly reason: string }
