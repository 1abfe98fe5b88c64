/** The file that a consumer makes where its file is missing, to find out whose disk that is. */
export const PROBE = 'written-by-a-consumer'
