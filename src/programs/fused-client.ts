/** What status asks dummy-fused with. It brings gRPC along, and so is a bundle of its own, which is loaded if a dummy-fused runs. */
export const loadServiceHost = async (): Promise<typeof import('../hosts/service-host.ts')> =>
  await import('../hosts/service-host.ts')
