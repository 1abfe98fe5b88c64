/**
 * What the kubelet has said. `waiting`: it has not asked for the plugin yet; `asked`: it has, and has not said yet how the registration ended; `refused`:
 * with its words, also while it asks again; `unseen`: it does not see the socket until it is restarted, with the reason; `lost`: something else has the
 * socket's path, upon which the kubelet deregisters the driver, with the reason, until the kubelet asks by a socket of another name.
 */
export type RegistrationState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'asked' }
  | { readonly kind: 'registered' }
  | { readonly kind: 'refused'; readonly error: string }
  | { readonly kind: 'unseen'; readonly reason: string }
  | { readonly kind: 'lost'; readonly reason: string }
