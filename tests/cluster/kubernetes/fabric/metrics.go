package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
)

const metricsAPI = "/apis/metrics.k8s.io/v1beta1"

type object = map[string]any

// metrics answers the resource metrics API with the kubelet's own figures, for autoscalers and `kubectl top pods`.
type metrics struct {
	pods   listers.PodLister
	client kubernetes.Interface
	node   string
}

// kubeletSummary is what is read of the kubelet's /stats/summary.
type kubeletSummary struct {
	Pods []struct {
		PodRef struct {
			Name, Namespace string
		}
		Containers []struct {
			Name string
			CPU  struct {
				Time           time.Time
				UsageNanoCores uint64
			}
			Memory struct {
				WorkingSetBytes uint64
			}
		}
	}
}

// serve answers on an address of the node, with a certificate that nobody checks.
func (m *metrics) serve(ctx context.Context, address string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(0, 1, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+metricsAPI, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1", "resources": []object{
			{"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": []string{"get", "list"}},
		}})
	})
	mux.HandleFunc("GET "+metricsAPI+"/namespaces/{namespace}/pods", func(w http.ResponseWriter, r *http.Request) {
		items, err := m.list(r.Context(), r.PathValue("namespace"), r.URL.Query().Get("labelSelector"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, object{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": object{}, "items": items})
	})
	server := &http.Server{
		Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}},
	}
	return server.ListenAndServeTLS("", "")
}

func answer(w http.ResponseWriter, body object) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

// list returns the PodMetrics of the pods that a selector chooses.
func (m *metrics) list(ctx context.Context, namespace, selector string) ([]object, error) {
	chosen, err := labels.Parse(selector)
	if err != nil {
		return nil, err
	}
	pods, err := m.pods.Pods(namespace).List(chosen)
	if err != nil {
		return nil, err
	}
	raw, err := m.client.CoreV1().RESTClient().Get().Resource("nodes").Name(m.node).SubResource("proxy").
		Suffix("stats/summary").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var seen kubeletSummary
	if err := json.Unmarshal(raw, &seen); err != nil {
		return nil, err
	}
	items := []object{}
	for _, pod := range pods {
		for _, stats := range seen.Pods {
			if stats.PodRef.Namespace != pod.Namespace || stats.PodRef.Name != pod.Name {
				continue
			}
			containers, at := []object{}, time.Time{}
			for _, container := range stats.Containers {
				at = container.CPU.Time
				containers = append(containers, object{"name": container.Name, "usage": object{
					"cpu":    fmt.Sprintf("%dn", container.CPU.UsageNanoCores),
					"memory": fmt.Sprintf("%d", container.Memory.WorkingSetBytes),
				}})
			}
			if len(containers) == 0 {
				continue
			}
			items = append(items, object{
				"metadata":  object{"name": pod.Name, "namespace": pod.Namespace, "labels": pod.Labels},
				"timestamp": at.UTC().Format(time.RFC3339), "window": "10s", "containers": containers,
			})
		}
	}
	return items, nil
}
