// The three calls that the benchmark makes, as a team would write them on grpc-go: sessions in a map, regexp, net/url.
//
// scripts/compare generates the package waypost/v1 that this imports.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	waypostv1 "waypost/v1"
)

var (
	placeholder = regexp.MustCompile(`\{\{\s*(.+?)\s*\}\}`)
	step        = regexp.MustCompile(`\[([^\]]+)\]|([^.\[\]]+)`)
)

// codec is the one of later versions of grpc-go: Debian's is built with an older protobuf than the one beside it.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(message interface{}) ([]byte, error) {
	return proto.Marshal(message.(proto.Message))
}

func (codec) Unmarshal(data []byte, message interface{}) error {
	return proto.Unmarshal(data, message.(proto.Message))
}

type session struct {
	root        map[string]interface{}
	redirectURL string
	outcome     waypostv1.Outcome
}

type redirects struct {
	waypostv1.UnimplementedRedirectServiceServer
	mutex    sync.RWMutex
	sessions map[string]*session
}

func newID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("invoice_%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

func (r *redirects) CreatePayment(_ context.Context, request *waypostv1.CreatePaymentRequest) (*waypostv1.CreatePaymentResponse, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(request)
	if err != nil {
		return nil, err
	}
	root := map[string]interface{}{}
	if err := json.Unmarshal(body, &root); err != nil {
		return nil, err
	}
	root["id"], root["kind"] = id, "payment"
	r.mutex.Lock()
	r.sessions[id] = &session{root: root, redirectURL: request.RedirectUrl}
	r.mutex.Unlock()
	return &waypostv1.CreatePaymentResponse{
		Session: &waypostv1.Session{SessionId: id, MerchantId: request.MerchantId},
	}, nil
}

func (r *redirects) RecordOutcome(_ context.Context, request *waypostv1.RecordOutcomeRequest) (*waypostv1.RecordOutcomeResponse, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	found, ok := r.sessions[request.SessionId]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such session")
	}
	found.outcome = request.Outcome
	found.root["payment_id"], found.root["status"] = request.PaymentId, request.Status
	return &waypostv1.RecordOutcomeResponse{Applied: true}, nil
}

func (r *redirects) ResolveRedirect(_ context.Context, request *waypostv1.ResolveRedirectRequest) (*waypostv1.ResolveRedirectResponse, error) {
	r.mutex.RLock()
	defer r.mutex.RUnlock()
	found, ok := r.sessions[request.SessionId]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such session")
	}
	outcome := request.Outcome
	if outcome == waypostv1.Outcome_OUTCOME_UNSPECIFIED {
		outcome = found.outcome
	}
	if outcome == waypostv1.Outcome_OUTCOME_UNSPECIFIED {
		outcome = waypostv1.Outcome_OUTCOME_CANCEL
	}
	filled, unresolved := fill(found.redirectURL, found.root)
	parsed, err := url.Parse(filled)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil {
		return nil, status.Error(codes.FailedPrecondition, "the return URL may not be used")
	}
	return &waypostv1.ResolveRedirectResponse{
		Redirect: &waypostv1.Redirect{
			Outcome:                outcome,
			Action:                 waypostv1.Action_ACTION_REDIRECT,
			Url:                    parsed.String(),
			Source:                 waypostv1.Source_SOURCE_REQUEST,
			UnresolvedPlaceholders: unresolved,
		},
	}, nil
}

// fill returns the URL with its placeholders filled, and those that name nothing.
func fill(template string, root map[string]interface{}) (string, []string) {
	var unresolved []string
	filled := placeholder.ReplaceAllStringFunc(template, func(written string) string {
		value, ok := lookUp(root, placeholder.FindStringSubmatch(written)[1])
		if !ok {
			unresolved = append(unresolved, written)
			return written
		}
		return url.QueryEscape(value)
	})
	return filled, unresolved
}

// lookUp returns the value at a path such as items[0].type.
func lookUp(root map[string]interface{}, path string) (string, bool) {
	var value interface{} = root
	for _, match := range step.FindAllStringSubmatch(path, -1) {
		name := match[1] + match[2]
		switch inner := value.(type) {
		case map[string]interface{}:
			value = inner[name]
		case []interface{}:
			index, err := strconv.Atoi(name)
			if err != nil || index < 0 || index >= len(inner) {
				return "", false
			}
			value = inner[index]
		default:
			return "", false
		}
	}
	switch value := value.(type) {
	case string:
		return value, true
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), true
	default:
		return "", false
	}
}

func main() {
	encoding.RegisterCodec(codec{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	waypostv1.RegisterRedirectServiceServer(server, &redirects{sessions: map[string]*session{}})
	fmt.Printf("gRPC %s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
