/** What a shield was asked for and does not do. The message says why, and is for the person who has asked. */
export class Refused extends Error {
  override readonly name = 'Refused'
}
