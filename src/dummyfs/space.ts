import { FileSystemError } from '../fuse/filesystem.ts'

/** Bytes of a block, the unit in which memory is given to files. */
export const BLOCK = 4096

/** Nodes that the smallest file system may have. */
const LEAST_NODES = 1024

/** What a file system in memory may take: blocks of contents, and nodes with their names. */
export class Space {
  readonly blocks: number
  readonly nodes: number
  #blocksUsed = 0
  #nodesUsed = 0

  /** `size`: bytes of all contents. There may be as many nodes as blocks. */
  constructor(size: number) {
    this.blocks = Math.floor(size / BLOCK)
    this.nodes = Math.max(this.blocks, LEAST_NODES)
  }

  get blocksFree(): number {
    return this.blocks - this.#blocksUsed
  }

  get nodesFree(): number {
    return this.nodes - this.#nodesUsed
  }

  /** Takes blocks. Throws FileSystemError ENOSPC, and takes none then. */
  takeBlocks(count: number): void {
    if (count > this.blocksFree) throw new FileSystemError('ENOSPC')
    this.#blocksUsed += count
  }

  giveBlocks(count: number): void {
    this.#blocksUsed -= count
  }

  /** Takes room for one node, or for one more name of a node. Throws FileSystemError ENOSPC. */
  takeNode(): void {
    if (this.nodesFree < 1) throw new FileSystemError('ENOSPC')
    this.#nodesUsed++
  }

  giveNodes(count: number): void {
    this.#nodesUsed -= count
  }
}
