package check

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// manifests is what `kubectl apply -k docker/kubernetes` sends.
type manifests struct {
	set     *appsv1.StatefulSet
	config  *corev1.ConfigMap
	service *corev1.Service
	budget  *policyv1.PodDisruptionBudget
	network *networkingv1.NetworkPolicy
}

// decode reads an object of Kubernetes as its server does with strict field validation.
func decode(t *testing.T, text []byte) (runtime.Object, error) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	o, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(text, nil, nil)
	return o, err
}

// render builds the kustomization and reads all that comes of it.
func render(t *testing.T) (m manifests) {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../kubernetes")
	require.NoError(t, err)
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		require.NoError(t, err)
		o, err := decode(t, text)
		require.NoError(t, err, "%s", text)
		switch o := o.(type) {
		case *appsv1.StatefulSet:
			m.set = o
		case *corev1.ConfigMap:
			m.config = o
		case *corev1.Service:
			m.service = o
		case *policyv1.PodDisruptionBudget:
			m.budget = o
		case *networkingv1.NetworkPolicy:
			m.network = o
		default:
			require.Failf(t, "unexpected", "%T", o)
		}
	}
	require.Equal(t, 5, all.Size())
	return m
}

// container is the only one of the pods.
func (m manifests) container(t *testing.T) corev1.Container {
	t.Helper()
	require.Len(t, m.set.Spec.Template.Spec.Containers, 1)
	require.Empty(t, m.set.Spec.Template.Spec.InitContainers)
	return m.set.Spec.Template.Spec.Containers[0]
}

// mounted is where a pod sees the volume of that name.
func (m manifests) mounted(t *testing.T, volume string) (string, corev1.Volume) {
	t.Helper()
	mounts, volumes := m.container(t).VolumeMounts, m.set.Spec.Template.Spec.Volumes
	at := slices.IndexFunc(mounts, func(v corev1.VolumeMount) bool { return v.Name == volume })
	is := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == volume })
	require.True(t, at >= 0 && is >= 0, volume)
	require.True(t, mounts[at].ReadOnly, volume)
	return mounts[at].MountPath, volumes[is]
}

// instances are what the pods do, by their names; secrets is the folder that stands for the one of the secret.
func (m manifests) instances(t *testing.T) (all map[string]settings, secrets string) {
	t.Helper()
	dir := t.TempDir()
	configs, volume := m.mounted(t, "config")
	require.Equal(t, m.config.Name, volume.ConfigMap.Name, "with the hash of its content")
	in, _ := m.mounted(t, "secret")
	server := httptest.NewTLSServer(nil)
	server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "password"), []byte("any"), 0o600))
	for name, text := range m.config.Data {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, in, dir)), 0o600))
	}
	c, all := m.container(t), map[string]settings{}
	require.Empty(t, c.Command, "the image's entry point")
	for n := range *m.set.Spec.Replicas {
		pod := fmt.Sprintf("%s-%d", m.set.Name, n)
		args, variables := slices.Clone(c.Args), map[string]string{}
		for i := range args {
			args[i] = strings.Replace(args[i], configs+"/", dir+"/", 1)
		}
		for _, v := range c.Env {
			variables[v.Name] = v.Value
			if v.ValueFrom != nil {
				require.Equal(t, "metadata.name", v.ValueFrom.FieldRef.FieldPath)
				variables[v.Name] = pod
			}
		}
		all[pod] = checked(t, args, variables)
	}
	return all, dir
}

// What these tests rest on: a field that Kubernetes does not know is refused, and one that is there twice.
func TestKubernetesIsStrict(t *testing.T) {
	for _, line := range []string{"readOnlyRootFileSystem: true", "replicas: 2\n  replicas: 3"} {
		_, err := decode(t, []byte("apiVersion: apps/v1\nkind: StatefulSet\nspec:\n  "+line+"\n"))
		require.ErrorContains(t, err, "strict decoding error", line)
	}
}

// Each pod has the transactional id that its name gives it, and no two have the same. Secrets come from the files of the secret.
func TestKubernetesInstances(t *testing.T) {
	m := render(t)
	instances, secrets := m.instances(t)
	requireIdentities(t, instances)
	one := instances["eos-pipe-0"]
	require.Equal(t, []string{"SASL_SSL", "SCRAM-SHA-512"}, []string{one.Protocol, one.Mechanism})
	require.Equal(t, "file:"+secrets+"/password", one.Password)
	require.Equal(t, secrets+"/ca.crt", one.CA)
	_, volume := m.mounted(t, "secret")
	require.NotNil(t, volume.Secret)
	require.EqualValues(t, 0o440, *volume.Secret.DefaultMode, "nobody but the pod's group reads it")
	require.False(t, *m.set.Spec.Template.Spec.EnableServiceLinks, "they would be EOS_PIPE_ variables")
}

// Pods are nobody on the machine, get time to drain, and lie within their memory.
func TestKubernetesConfinement(t *testing.T) {
	m := render(t)
	spec, c := m.set.Spec.Template.Spec, m.container(t)
	require.True(t, *spec.SecurityContext.RunAsNonRoot)
	require.EqualValues(t, []int64{65532, 65532, 65532}, []int64{*spec.SecurityContext.RunAsUser, *spec.SecurityContext.RunAsGroup, *spec.SecurityContext.FSGroup})
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type)
	require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	require.Empty(t, c.SecurityContext.Capabilities.Add)
	require.False(t, *spec.AutomountServiceAccountToken)
	require.False(t, spec.HostNetwork || spec.HostPID || spec.HostIPC)
	requireGrace(t, time.Duration(*spec.TerminationGracePeriodSeconds)*time.Second)

	at := slices.IndexFunc(c.Env, func(v corev1.EnvVar) bool { return v.Name == "GOMEMLIMIT" })
	require.GreaterOrEqual(t, at, 0)
	requireMemory(t, c.Resources.Limits.Memory().Value(), c.Env[at].Value)
	require.True(t, c.Resources.Limits.Memory().Equal(*c.Resources.Requests.Memory()), "a pod is not evicted for what it may use")
	require.Zero(t, c.Resources.Limits.Cpu().MilliValue(), "a throttled member looks like a dead one")
}

// The pods start together and are updated and evicted one at a time; their probes ask for what the process serves.
func TestKubernetesLife(t *testing.T) {
	m := render(t)
	require.Equal(t, appsv1.ParallelPodManagement, m.set.Spec.PodManagementPolicy)
	require.Empty(t, m.set.Spec.UpdateStrategy, "the default: one after the other")
	require.EqualValues(t, 1, m.budget.Spec.MaxUnavailable.IntValue())
	require.Equal(t, m.service.Name, m.set.Spec.ServiceName)
	require.Equal(t, corev1.ClusterIPNone, m.service.Spec.ClusterIP)
	template := labels.Set(m.set.Spec.Template.Labels)
	for name, s := range map[string]*metav1.LabelSelector{
		"the set": m.set.Spec.Selector, "the budget": m.budget.Spec.Selector, "the network policy": &m.network.Spec.PodSelector,
		"the service": {MatchLabels: m.service.Spec.Selector}, "the spread": m.set.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector,
	} {
		selector, err := metav1.LabelSelectorAsSelector(s)
		require.NoError(t, err)
		require.False(t, selector.Empty(), name)
		require.True(t, selector.Matches(template), name)
	}

	c := m.container(t)
	require.Len(t, c.Ports, 1)
	require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
	require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
	for _, port := range []string{
		c.LivenessProbe.HTTPGet.Port.StrVal, c.ReadinessProbe.HTTPGet.Port.StrVal, m.service.Spec.Ports[0].TargetPort.StrVal, m.network.Spec.Ingress[0].Ports[0].Port.StrVal,
	} {
		require.Equal(t, c.Ports[0].Name, port)
	}
	instances, _ := m.instances(t)
	one := instances["eos-pipe-0"]
	require.Equal(t, "0.0.0.0:"+strconv.Itoa(int(c.Ports[0].ContainerPort)), one.HTTP)
	for _, server := range one.Servers {
		require.True(t, strings.HasSuffix(server, ":"+m.network.Spec.Egress[0].Ports[0].Port.String()), "the network policy lets the pods out to %s", server)
	}
}
