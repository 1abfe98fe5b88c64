/** What has to return without an error for a record to count as acknowledged: write(2) alone, fsync(2) after it, or close(2) after it. */
export const ACKNOWLEDGEMENTS = ['write', 'fsync', 'close'] as const

export type Acknowledgement = (typeof ACKNOWLEDGEMENTS)[number]
