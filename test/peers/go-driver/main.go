// A CSI node plugin that is not ours: volumes are FUSE mounts of go-fuse, served by the plugin itself, and published by bind mounts.
// It restores nothing. It is what "bring your own driver" of the lab is tried on (test/e2e/lab-driver.test.ts).
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer
	node    string
	mu      sync.Mutex
	servers map[string]*fuse.Server
}

func main() {
	endpoint := flag.String("endpoint", "", "unix socket to serve on")
	node := flag.String("node", "node", "node id")
	flag.Parse()
	path := strings.TrimPrefix(*endpoint, "unix://")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		log.Fatal(err)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	served := &driver{node: *node, servers: map[string]*fuse.Server{}}
	csi.RegisterIdentityServer(server, served)
	csi.RegisterNodeServer(server, served)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-told
		server.Stop()
	}()
	log.Printf("serves on %s", path)
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: "go-driver", VendorVersion: "1"}, nil
}

func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.node}, nil
}

func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	stage := &csi.NodeServiceCapability{Type: &csi.NodeServiceCapability_Rpc{
		Rpc: &csi.NodeServiceCapability_RPC{Type: csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME},
	}}
	return &csi.NodeGetCapabilitiesResponse{Capabilities: []*csi.NodeServiceCapability{stage}}, nil
}

func (d *driver) NodeStageVolume(_ context.Context, r *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := r.GetStagingTargetPath()
	if d.servers[path] != nil {
		return &csi.NodeStageVolumeResponse{}, nil
	}
	root := &tree{text: r.GetVolumeContext()["text"]}
	options := &fs.Options{MountOptions: fuse.MountOptions{FsName: "go-driver", Name: "go-driver", DirectMount: true}}
	server, err := fs.Mount(path, root, options)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "cannot mount %s: %v", path, err)
	}
	d.servers[path] = server
	return &csi.NodeStageVolumeResponse{}, nil
}

func (d *driver) NodeUnstageVolume(_ context.Context, r *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = syscall.Unmount(r.GetStagingTargetPath(), syscall.MNT_DETACH)
	delete(d.servers, r.GetStagingTargetPath())
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (d *driver) NodePublishVolume(_ context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if err := os.MkdirAll(r.GetTargetPath(), 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if err := syscall.Mount(r.GetStagingTargetPath(), r.GetTargetPath(), "", syscall.MS_BIND, ""); err != nil {
		return nil, status.Errorf(codes.Internal, "cannot bind %s: %v", r.GetTargetPath(), err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (d *driver) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	_ = syscall.Unmount(r.GetTargetPath(), syscall.MNT_DETACH)
	_ = os.Remove(r.GetTargetPath())
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// A folder with one file.
type tree struct {
	fs.Inode
	text string
}

func (t *tree) OnAdd(ctx context.Context) {
	file := &fs.MemRegularFile{Data: []byte(t.text), Attr: fuse.Attr{Mode: 0o444}}
	t.AddChild("greeting.txt", t.NewPersistentInode(ctx, file, fs.StableAttr{}), false)
}
