# switch virt_use_nfs on
setsebool -P virt_use_nfs=on
