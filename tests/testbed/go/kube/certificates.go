package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"
)

// certificates makes what a control plane on loopback needs, in the present directory: a certificate
// authority, the API server's certificate, and the key that service account tokens are signed with.
func certificates() error {
	key, err := newKey("service-accounts")
	if err != nil {
		return err
	}
	authority := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "testbed"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if key, err = newKey("ca"); err != nil {
		return err
	}
	if err = sign("ca", authority, key, authority, key); err != nil {
		return err
	}
	return certificate("serving", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// clientCertificate makes the certificate of a user, in files of that name.
func clientCertificate(name, user string, groups []string) error {
	return certificate(name, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// certificate makes a key and has the authority sign its certificate.
func certificate(name string, template *x509.Certificate) error {
	authority, err := tls.LoadX509KeyPair("ca.crt", "ca.key")
	if err != nil {
		return err
	}
	key, err := newKey(name)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return sign(name, template, key, authority.Leaf, authority.PrivateKey)
}

func sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey, issuer *x509.Certificate, by any) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, by)
	if err != nil {
		return err
	}
	return write(name+".crt", "CERTIFICATE", der)
}

func newKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key) // PKCS #8 is not taken for service accounts
	if err != nil {
		return nil, err
	}
	return key, write(name+".key", "EC PRIVATE KEY", der)
}

func write(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
