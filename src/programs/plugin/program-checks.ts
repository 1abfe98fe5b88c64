import type { VolumeChecks } from '../../csi/validation.ts'
import { parseMountOptions } from '../../fuse/mount-option-rules.ts'
import type { ProgramSpec } from '../../program-file/spec.ts'
import { checkInlineParameters, checkParameters, checkProgramFlags, podFlags } from '../../program-file/volume-values.ts'

/** What the file of a program allows its volumes. */
export function programChecks(spec: ProgramSpec): VolumeChecks {
  return {
    fsName: spec.name,
    flags: (flags) => checkProgramFlags(spec, flags),
    isOption: (name) => spec.mountFlags.has(name),
    ofPod: (text) => podFlags(spec, parseMountOptions(text)),
    program: {
      parameters: (given) => checkParameters(spec, given),
      inlineParameters: (given) => checkInlineParameters(spec, given),
      secrets: spec.secrets,
    },
  }
}
