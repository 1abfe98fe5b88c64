/** What a host needs of the shields (`dummy-fuse-csi shield`) that programs run behind with `--fuse-host service`. */
export interface Shields {
  /** Why the mount of a shield that runs does not answer, as a part of a sentence for people. Resolves within `time` milliseconds, at most a second, and never rejects. */
  silence(path: string, time?: number): Promise<string>
  /** Removes what the shield of a path has left that was killed. All of its processes have ended. Never throws. */
  forget(path: string): void
}
