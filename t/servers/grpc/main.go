// A gRPC server for tests: methods of any service, without generated code. It listens on the address of its argument, with TLS where
// a certificate and a key follow.
//
//	Echo     sends back every message, and ends with the client
//	Count    sends three messages for one, and ends
//	Refuse   ends with PERMISSION_DENIED
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Messages are bytes, as they come.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

func (raw) Name() string { return "raw" }

func serve(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	received, _ := metadata.FromIncomingContext(stream.Context())
	if err := stream.SendHeader(metadata.Pairs("x-seen", strings.Join(received["x-in"], ","))); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("x-trailer", "at-the-end"))
	switch name[strings.LastIndex(name, "/")+1:] {
	case "Echo":
		return echo(stream)
	case "Count":
		return count(stream)
	case "Refuse":
		return status.Error(codes.PermissionDenied, "not you")
	}
	return status.Error(codes.Unimplemented, name)
}

func echo(stream grpc.ServerStream) error {
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

func count(stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	for i := 1; i <= 3; i++ {
		reply := fmt.Appendf(nil, "%s %d", message, i)
		if err := stream.SendMsg(&reply); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	options := []grpc.ServerOption{grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(serve)}
	if len(os.Args) > 3 {
		certificate, err := credentials.NewServerTLSFromFile(os.Args[2], os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(certificate))
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(grpc.NewServer(options...).Serve(listener))
}
